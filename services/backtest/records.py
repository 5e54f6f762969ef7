"""Recorded data as the edge node would read them from a topic of one partition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import DataError
from streamgauge.profiles.loaders.inputs import find_inputs
from streamgauge.profiles.loaders.long_files import file_profile, tag_records
from streamgauge.profiles.loaders.merged import merge_by_time
from streamgauge.profiles.loaders.records import json_records
from streamgauge.profiles.loaders.streamed import dataset_of, stream_tables
from streamgauge.profiles.loaders.table import Table
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


class Recording:
    """Files of one profile, a context manager: what was unpacked is removed at its end.

    Args:
        files: paths, folders or patterns.
        profile: of the records.

    Raises:
        ConfigurationError, DataError: nothing is there, or a file is not as it should be.
    """

    def __init__(self, files: Sequence[str], profile: Profile) -> None:
        self._profile = profile
        with ExitStack() as stack:
            unpacked = stack.enter_context(TemporaryDirectory(prefix="streamgauge-backtest-"))
            dataset = dataset_of(profile)
            self._inputs = find_inputs(files, dataset.files, dataset.folder, Path(unpacked))
            self._rows = file_profile(profile, self._inputs)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def tables(self) -> Iterator[Table]:
        """The rows in order of time, some thousand at a time; read anew at each call.

        Data without times get one every sampling period, else every second.

        Raises:
            DataError: a file is not as it should be; when it is reached.
        """
        sources: list[Callable[[], Iterator[Table]]] = [
            partial(stream_tables, each, self._rows) for each in self._inputs
        ]
        row, step = 0, self._profile.sampling_period_s or 1.0
        for part in merge_by_time(sources):
            table = part.table
            if self._profile.time.field is None:
                # The epoch itself is no valid time.
                table = replace(table, times=(1.0 + np.arange(row, row + len(table), dtype=np.float64)) * step)
            row += len(table)
            yield table
        if not row:
            raise DataError("the files hold no records")


def records_of(
    table: Table, profile: Profile, first: int, *, labels: bool = False
) -> tuple[list[Record], NDArray[np.int64]]:
    """The rows as messages, the first with the offset `first`; and the row of each message."""
    stated = None if profile.time.field is None else table.times
    if profile.long is None:
        values, rows = json_records(table, profile, labels=labels, times=stated), np.arange(len(table))
    else:
        values, rows = tag_records(table, profile, labels=labels, times=stated)
    stamps = np.nan_to_num(table.times * 1000).astype(np.int64)[rows].tolist()
    keys = [(entity or TOPIC).encode() for entity in table.entities[rows].tolist()]
    messages = zip(stamps, keys, values, strict=True)
    return [Record(first + i, stamp, key, value) for i, (stamp, key, value) in enumerate(messages)], rows
