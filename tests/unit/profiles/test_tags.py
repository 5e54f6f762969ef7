"""One tag a message: what is taken, ignored and rejected, and the records that come of it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from streamgauge.errors import ConfigurationError
from streamgauge.profiles.decoder import Decoder
from streamgauge.profiles.imputing import Imputer
from streamgauge.profiles.profile import parse_profile
from streamgauge.profiles.tags import TagDecoder, Tags, pivoted
from streamgauge.stream.imputation import LastValues
from tests.support.plant import LONG_PROFILE, plant_profile, plant_records, tag_records

LONG = parse_profile(LONG_PROFILE)
GOOD: dict[str, Any] = {
    "time": 1_750_000_000,
    "machine": "m",
    "asset": "hall",
    "label": "ok",
    "tag": "flow",
    "value": 1.5,
}


@dataclass(frozen=True)
class Record:
    value: bytes | None
    offset: int = 0
    key: bytes | None = b"k"
    timestamp: int = 1_750_000_000_000


def message(**changes: Any) -> Record:
    return Record(json.dumps(GOOD | changes).encode())


def decode(*records: Record, **options: Any) -> Tags:
    return TagDecoder(LONG, **options).decode_tags(records)


def test_numbers_categories_and_missing_values() -> None:
    tags = decode(
        message(),
        message(tag="mode", value="manual"),
        message(tag="mode", value="never seen"),
        message(tag="level", value=None),
        message(tag="power", value=7),
    )
    assert list(tags.batch.columns) == [0, 4, 4, 1, 3]
    assert repr(list(tags.batch.values)) == repr([1.5, 1.0, 2.0, math.nan, 7.0])
    assert (tags.rejected, tags.unknown) == ([], 0)


BAD = [
    ("missing-tag", {"tag": None}),
    ("missing-tag", {"tag": ""}),
    ("wrong-type", {"value": "1.5"}),
    ("wrong-type", {"value": True}),
    ("wrong-type", {"value": [1]}),
    ("wrong-type", {"tag": "mode", "value": 0.5}),
    ("not-finite", {"value": 1e39}),
    ("not-finite", {"value": -(10**400)}),
    ("missing-time", {"time": None}),
    ("bad-time", {"time": -1}),
    ("missing-entity", {"machine": None}),
]


@pytest.mark.parametrize(("reason", "changes"), BAD)
def test_a_bad_message_is_rejected_and_its_neighbours_are_not(reason: str, changes: dict[str, Any]) -> None:
    tags = decode(message(), message(**changes), message(tag="level"))
    assert [(r.position, r.reason) for r in tags.rejected] == [(1, reason)]
    assert tags.batch.index.tolist() == [0, 2]


def test_tags_that_the_profile_does_not_name_are_ignored_and_counted_whatever_they_hold() -> None:
    tags = decode(message(tag="other"), message(tag="other", value=[1], time=None), message(tag=3, machine=None))
    assert (tags.batch.times.size, tags.unknown, tags.rejected) == (0, 3, [])


def test_the_pivot_gives_what_the_wide_records_give() -> None:
    records = plant_records(200)
    messages = [m for record in records for m in tag_records(record)]
    long = [Record(json.dumps(m).encode(), i) for i, m in enumerate(messages)]
    rows, rejected = pivoted(long, TagDecoder(LONG, learn_labels=True))
    wide = Decoder(plant_profile(), learn_labels=True).decode([Record(json.dumps(r).encode()) for r in records])
    assert rejected == []
    order = np.argsort(rows.times)
    for name in ("values", "codes", "times", "labels"):
        np.testing.assert_array_equal(getattr(rows, name)[order], getattr(wide, name))
    assert [rows.entities[i] for i in order] == wide.entities
    assert rows.context(int(order[3])) == wide.context(3)


def test_a_tick_that_lacks_too_much_even_after_the_rules_is_not_kept() -> None:
    start = GOOD["time"]
    sent = [(0, "flow"), (0, "level"), (0, "pressure"), (0, "power"), (0, "mode")]
    sent += [(1, "power"), (2, "flow"), (3, "power"), (3, "flow")]
    long = [
        Record(
            json.dumps(GOOD | {"time": start + t, "tag": tag, "value": "auto" if tag == "mode" else 1}).encode(), i
        )
        for i, (t, tag) in enumerate(sent)
    ]
    rows, _ = pivoted(long, TagDecoder(LONG))
    imputed = Imputer(LONG).impute(rows, LastValues())
    assert imputed.kept is not None
    assert imputed.kept.tolist() == [True, True, False, True]  # power is required; mask: pressure and mode
    assert imputed.counts == {
        ("flow", "last"): 1,
        ("level", "constant"): 2,
        ("pressure", "mask"): 2,
        ("mode", "mask"): 2,
    }


MISTAKES = [
    ("tick_s = 1", "tick_s = 0", "at least 0.001"),
    ("tick_s = 1", "tick_s = 1\nwait_s = -1", "at least 0"),
    ("tick_s = 1", "", "'tick_s' is missing"),
    ('value = "value"', 'value = "tag"', "name two fields"),
    ('value = "value"', 'value = "time"', "is the time and the value"),
    ('tag = "tag"', 'tag = "machine"', "has another role"),
    ('layout = "long"', 'layout = "wide"', "'long', because there is a table"),
    ('layout = "long"', 'layout = "tall"', "'wide' or 'long'"),
]


@pytest.mark.parametrize(("right", "wrong", "says"), MISTAKES)
def test_mistakes_in_a_long_profile_are_named(right: str, wrong: str, says: str) -> None:
    assert right in LONG_PROFILE
    with pytest.raises(ConfigurationError, match=says):
        parse_profile(LONG_PROFILE.replace(right, wrong, 1))


def test_a_tag_may_have_the_name_of_a_field() -> None:
    profile = parse_profile(LONG_PROFILE.replace('field = "flow"', 'field = "value"\nname = "flow"'))
    assert profile.schema.hash == plant_profile().schema.hash
