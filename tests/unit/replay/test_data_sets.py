"""A loader's record, sent as JSON by the replay, comes out of its profile's decoder as it was."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from services.replay.data import TRUTH_HEADER, load_recording, recording_of
from services.replay.publisher import Messages
from streamgauge.profiles.decoder import Decoded, Decoder
from streamgauge.profiles.loaders import LOADERS, Table, load
from streamgauge.profiles.loaders.records import decoded, encoded
from streamgauge.profiles.profile import Profile, load_profile
from tests.support.dataset_files import FILES, write_dataset

ROWS = 200


class Sent:
    """A message as a consumer would hand it over."""

    def __init__(self, key: bytes, value: bytes, timestamp: int) -> None:
        self.key: bytes | None = key
        self.value: bytes | None = value
        self.timestamp = timestamp


def through_the_replay(table: Table, profile: Profile, *, labels: bool) -> tuple[Decoded, list[str]]:
    recording = recording_of(table, profile, send_labels=labels)
    messages = Messages.of(recording, "site-a", profile.time, partitions=1)
    sent = []
    for row, time in enumerate(np.nan_to_num(table.times, nan=1.6e9).tolist()):
        start = messages.time_text(time) if messages.time_text else b""
        sent.append(Sent(messages.keys[row], start + messages.values[row], int(time * 1000)))
    truths = [json.loads(dict(headers)[TRUTH_HEADER])["label"] for headers in messages.headers]
    return Decoder(profile, learn_labels=labels).decode(sent), truths


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
        assert actual.entities == [entity or "site-a" for entity in expected.entities]
        if not np.isnan(table.times).any():
            np.testing.assert_allclose(actual.times, table.times, rtol=0, atol=1.1e-3)
    matrix = encoded(table, profile)
    assert matrix.shape == (len(table), profile.schema.width)
    assert matrix.dtype == np.float32


@pytest.mark.parametrize("name", sorted(FILES))
def test_records_survive_the_way_through_json(name: str, tmp_path: Path) -> None:
    assert_without_loss(load(name, write_dataset(name, tmp_path)), load_profile(name))


@pytest.mark.parametrize("name", sorted(set(LOADERS) - {"swat", "ciciot2023-46", "ciciot-diad2024"}))
def test_real_records_survive_too(name: str) -> None:
    root = os.environ.get("STREAMGAUGE_DATA")
    if not root:
        pytest.skip("STREAMGAUGE_DATA is not set: the public data sets are not at hand")
    table = load(name, root)
    rows = np.sort(np.random.default_rng(5).permutation(len(table))[:ROWS])
    assert_without_loss(table.take(rows), load_profile(name))


def test_a_folder_is_replayed_by_its_loader(tmp_path: Path) -> None:
    write_dataset("batadal", tmp_path)
    recording = load_recording(str(tmp_path), load_profile("batadal"), send_labels=True)
    assert recording.labels == ["normal", "attack", "normal", "attack8"], "rows without a label are left out"
    assert recording.entities == ["plant"] * 4
    assert [json.loads(b"{" + body)["ATT_FLAG"] for body in recording.bodies] == ["0", "attack", "0", "attack8"]
