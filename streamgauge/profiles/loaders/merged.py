"""Several files as one stream in order of time, with a block of each open file in memory."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamgauge.profiles.loaders.table import Table, concatenated

Open = Callable[[], Iterator[Table]]


class Part(NamedTuple):
    """Rows that come next, and the number of the source that each is of, (n,) int64."""

    table: Table
    sources: NDArray[np.int64]


def merge_by_time(sources: Sequence[Open]) -> Iterator[Part]:
    """The rows of all sources in order of time; rows of one source keep their order.

    A row counts as late as the latest before it in its source, or its first one, so that one that is out of order
    there stays where its file has it. Rows of the same time of several sources come in no stated order, but always
    in the same one. Sources whose first block has no time at all come first, one after the other.

    Args:
        sources: each opens one, which is done twice: to look at the first time, and to read.

    Cost: memory of a block of every source whose times overlap with what is read; one that begins later is not yet
    open.
    """
    first = [_first_time(source) for source in sources]
    for number, time in enumerate(first):
        if np.isnan(time):
            for table in sources[number]():
                yield Part(table, np.full(len(table), number))
    waiting = [(time, number) for number, time in enumerate(first) if not np.isnan(time)]
    heapq.heapify(waiting)
    opened: list[_Opened] = []
    while opened or waiting:
        until = min((each.until for each in opened), default=np.inf)
        while waiting and waiting[0][0] <= until:
            time, number = heapq.heappop(waiting)
            each = _Opened(number, sources[number](), time)
            if each.refill():
                opened.append(each)
                until = min(until, each.until)
        if opened:
            yield _taken(sorted(opened, key=lambda each: each.number), until)
            opened = [each for each in opened if each.refill()]


def _first_time(source: Open) -> float:
    """NaN where the first block has no time."""
    for table in source():
        known = table.times[~np.isnan(table.times)]
        return float(known[0]) if len(known) else np.nan
    return np.nan


def _taken(opened: Sequence[_Opened], until: float) -> Part:
    """The rows of all sources up to a time."""
    taken = [(each.number, *each.take(until)) for each in opened]
    taken = [each for each in taken if len(each[1])]
    table = concatenated([rows for _, rows, _ in taken])
    numbers = np.concatenate([np.full(len(rows), number) for number, rows, _ in taken])
    if len(taken) == 1:
        return Part(table, numbers)
    order = np.argsort(np.concatenate([keys for *_, keys in taken]), kind="stable")
    return Part(table.take(order), numbers[order])


@dataclass
class _Opened:
    """A source that is being read, with what is left of its block."""

    number: int
    tables: Iterator[Table]
    latest: float
    rest: Table | None = None
    keys: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    @property
    def until(self) -> float:
        """Up to this time nothing more can come than what is here."""
        return float(self.keys[-1])

    def refill(self) -> bool:
        """Read the next block where nothing is left; False at the end."""
        if len(self.keys):
            return True
        self.rest = next(self.tables, None)
        if self.rest is None:
            return False
        times = np.where(np.isnan(self.rest.times), -np.inf, self.rest.times)
        self.keys = np.maximum.accumulate(np.concatenate([[self.latest], times]))[1:]
        self.latest = self.until
        return True

    def take(self, until: float) -> tuple[Table, NDArray[np.float64]]:
        """The rows up to a time, and their keys."""
        assert self.rest is not None
        count = int(np.searchsorted(self.keys, until, side="right"))
        keys = self.keys
        taken = self.rest.part(0, count), keys[:count]
        self.rest, self.keys = self.rest.part(count, len(keys)), keys[count:]
        return taken
