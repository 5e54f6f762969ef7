"""Records on their way through the replay's messages and the decoder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from services.replay.chunks import Chunk
from services.replay.command import Arguments
from services.replay.main import inputs_of, make_source
from services.replay.messages import Composer, Messages
from services.replay.options import ReplayOptions
from services.replay.position import Position
from services.replay.share import Passed
from services.runtime.log import TRUTH_HEADER
from streamgauge.profiles.decoder import Decoded, Decoder
from streamgauge.profiles.loaders import Table
from streamgauge.profiles.loaders.records import decoded, encoded
from streamgauge.profiles.profile import Profile, load_profile

NOW_S = 1_700_000_000.0


class Sent:
    """A message as a consumer would hand it over."""

    def __init__(self, key: bytes, value: bytes, timestamp: int) -> None:
        self.key: bytes | None = key
        self.value: bytes | None = value
        self.timestamp = timestamp


def sent_of(messages: Messages) -> list[Sent]:
    return [Sent(*each) for each in zip(messages.keys, messages.values, messages.stamps_ms, strict=True)]


def options_of(profile: str, files: Sequence[str | Path], **changes: Any) -> ReplayOptions:
    topic = changes.pop("topic", "{site}.records")
    return Arguments(profile, [str(file) for file in files], topic, **changes).options()


START = Position()


def chunks_of(options: ReplayOptions, folder: Path, begin: Position = START) -> list[Chunk]:
    profile = load_profile(options.profile)
    inputs = inputs_of(options.files, profile, folder)
    return list(make_source(options, profile, inputs, NOW_S, Passed()).chunks(begin))


def messages_of(options: ReplayOptions, folder: Path, begin: Position = START) -> list[Messages]:
    composer = Composer(options, load_profile(options.profile), [2] * len(options.sites))
    return [composer.messages(chunk) for chunk in chunks_of(options, folder, begin)]


def objects_of(options: ReplayOptions, folder: Path) -> list[dict[str, Any]]:
    return [json.loads(value) for each in messages_of(options, folder) for value in each.values]


def through_the_replay(table: Table, profile: Profile, *, labels: bool) -> tuple[Decoded, list[str]]:
    options = ReplayOptions(profile.name, ("x",), "t", send_labels=labels)
    times = np.nan_to_num(table.times, nan=1.6e9)
    chunk = Chunk(table, times, np.maximum.accumulate(times), np.zeros(len(table), np.int64), 0)
    messages = Composer(options, profile, [1]).messages(chunk)
    truths = [json.loads(dict(headers)[TRUTH_HEADER])["label"] for headers in messages.headers]
    return Decoder(profile, learn_labels=labels).decode(sent_of(messages)), truths


def assert_without_loss(table: Table, profile: Profile) -> None:
    table = table.take(np.flatnonzero(~np.isnan(table.labels)))
    expected = decoded(table, profile)
    for labels in (True, False):
        actual, truths = through_the_replay(table, profile, labels=labels)
        assert actual.rejected == []
        np.testing.assert_array_equal(actual.values, expected.values)
        np.testing.assert_array_equal(actual.codes, expected.codes)
        np.testing.assert_array_equal(actual.labels, expected.labels if labels else np.full(len(table), np.nan))
        assert truths == table.attack_types.tolist()
        assert actual.entities == [entity or "site-1" for entity in expected.entities]
        if not np.isnan(table.times).any():
            np.testing.assert_allclose(actual.times, table.times, rtol=0, atol=1.1e-3)
    matrix = encoded(table, profile)
    assert matrix.shape == (len(table), profile.schema.width)
    assert matrix.dtype == np.float32
