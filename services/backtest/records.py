"""Recorded data as the edge node would read them from a topic of one partition."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from streamgauge.errors import ConfigurationError, DataError
from streamgauge.profiles.loaders.inputs import find_inputs
from streamgauge.profiles.loaders.merged import merge_by_time
from streamgauge.profiles.loaders.records import json_records
from streamgauge.profiles.loaders.streamed import dataset_of, stream_tables
from streamgauge.profiles.loaders.table import Table, concatenated
from streamgauge.profiles.profile import Profile

TOPIC = "backtest"


@dataclass(frozen=True, slots=True)
class Record:
    """A message as a consumer hands it over; see `services.runtime.log.LogRecord`."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    topic: str = TOPIC
    partition: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()


def read_table(files: Sequence[str], profile: Profile) -> Table:
    """All rows in order of time, in memory; data without times get one every sampling period (else every second).

    Raises:
        ConfigurationError: the profile's records come one tag a message.
        DataError: nothing is there, or a file is not as it should be.
    """
    if profile.long is not None:
        raise ConfigurationError(
            f"profile {profile.name!r} has layout = 'long': files hold whole records; give a wide one"
        )
    dataset = dataset_of(profile)
    with tempfile.TemporaryDirectory(prefix="streamgauge-backtest-") as unpacked:
        inputs = find_inputs(files, dataset.files, dataset.folder, Path(unpacked))
        sources: list[Callable[[], Iterator[Table]]] = [partial(stream_tables, i, profile) for i in inputs]
        tables = [part.table for part in merge_by_time(sources)]
    if not tables:
        raise DataError("the files hold no records")
    table = concatenated(tables)
    if profile.time.field is None:
        # The epoch itself is no valid time.
        times = (1.0 + np.arange(len(table), dtype=np.float64)) * (profile.sampling_period_s or 1.0)
        table = replace(table, times=times)
    return table


def records_of(table: Table, profile: Profile, first: int) -> list[Record]:
    """The rows as messages; the first has the offset `first`."""
    stated = None if profile.time.field is None else table.times
    values = json_records(table, profile, times=stated)
    stamps = np.nan_to_num(table.times * 1000).astype(np.int64).tolist()
    keys = [(entity or TOPIC).encode() for entity in table.entities.tolist()]
    rows = zip(stamps, keys, values, strict=True)
    return [Record(first + i, stamp, key, value) for i, (stamp, key, value) in enumerate(rows)]
