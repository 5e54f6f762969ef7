"""Files as chunks: in order of time, from row to row, once or again and again, with the times to state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from services.replay.chunks import Chunk
from services.replay.options import ReplayOptions
from services.replay.position import Position
from services.replay.share import Passed
from services.replay.split import Assign, assigner
from streamgauge.errors import DataError
from streamgauge.profiles.loaders.inputs import Input
from streamgauge.profiles.loaders.merged import Open, merge_by_time
from streamgauge.profiles.loaders.streamed import BLOCK_BYTES, stream_tables
from streamgauge.profiles.loaders.table import Table
from streamgauge.profiles.profile import Profile

_AHEAD = 2
_ALONE_BYTES = 4 << 20
"""Of a block where one file is read: larger ones cost less a row; of many files a block each is in memory."""
Piece = tuple[Table, NDArray[np.int64] | None]


class FileStream:
    """The rows of some files, as often as asked for.

    Args:
        options: rows, loops, split and times.
        profile: of the files.
        inputs: the files.
        now_s: wall time, for times that are shifted to it.
        passed: told of the progress.
    """

    def __init__(
        self, options: ReplayOptions, profile: Profile, inputs: Sequence[Input], now_s: float, passed: Passed
    ) -> None:
        self._options, self._profile, self._inputs, self._passed = options, profile, inputs, passed
        self._timed = profile.time.field is not None
        self._origin = options.start.moment(now_s)
        self._every_s = event_step_s(options, profile)
        self._loops: list[Position] = []

    @property
    def ahead(self) -> int:
        """Reading and parsing depend on nothing that is sent."""
        return _AHEAD

    def position_of(self, row: int) -> Position:
        """The position at a row, over all loops."""
        loop = max((p for p in self._loops if p.loop_row <= row), key=lambda p: p.loop, default=Position())
        return Position(row, loop.loop, loop.loop_row, loop.shift_s)

    def chunks(self, begin: Position) -> Iterator[Chunk]:
        """The rows from a position on.

        Raises:
            DataError: a file is not as it should be, or there are no rows to send.
        """
        loop, loop_row, shift, due = begin.loop, begin.loop_row, begin.shift_s, -np.inf
        skip = begin.row - begin.loop_row
        while True:
            assign = self._assigner()
            row, last = 0, np.nan
            first = np.nan
            for table, sites in self._pieces():
                times = self._times(table, loop_row + row)
                known = times[~np.isnan(times)]
                if len(known):
                    first = float(known[0]) if np.isnan(first) else first
                    last = float(known.max()) if np.isnan(last) else max(last, float(known.max()))
                if shift is None:
                    shift = 0.0 if self._options.start.original or np.isnan(first) else self._origin - first
                self._note(Position(loop_row, loop, loop_row, shift))
                if assign:
                    sites = assign(table, loop_row + row)
                wanted = slice(max(0, skip - row), None)
                row += len(table)
                if row <= skip:
                    continue
                stated = times[wanted] + shift
                known_or = np.where(np.isnan(stated), -np.inf, stated)
                dues = np.maximum.accumulate(np.concatenate([[due], known_or]))[1:]
                due = float(dues[-1])
                rest = table.part(wanted.start, len(table))
                yield Chunk(rest, stated, dues, self._of(sites, wanted), loop_row + row - len(rest))
            if row == 0:
                raise DataError("the files hold no record from --start-row on")
            loop, loop_row, skip = loop + 1, loop_row + row, 0
            if loop == self._options.loops:
                return
            if self._timed and not np.isnan(first):
                assert shift is not None
                shift += last - first + (self._profile.sampling_period_s or self._every_s)

    def _of(self, sites: NDArray[np.int64] | None, wanted: slice) -> NDArray[np.int64] | None:
        return None if sites is None else sites[wanted]

    def _note(self, position: Position) -> None:
        if not self._loops or self._loops[-1].loop != position.loop:
            # A chunk may be a whole loop, and so many are read in advance.
            self._loops = [*self._loops[-2 - _AHEAD :], position]

    def _assigner(self) -> Assign | None:
        split = self._options.split
        if split is None or split.kind in ("stage", "time"):
            return None
        return assigner(split, self._profile, len(self._options.sites), self._options.seed)

    def _times(self, table: Table, row: int) -> NDArray[np.float64]:
        """The data's own; without any, one record after the other, `every_s` apart."""
        if self._timed:
            return table.times
        # The origin is a shift like any other: kept over an interruption.
        return np.arange(row, row + len(table), dtype=np.float64) * self._every_s

    def _pieces(self) -> Iterator[Piece]:
        """One loop's tables, and their sites as far as the split by time decides them."""
        split, sites = self._options.split, len(self._options.sites)
        low, high = self._options.start_row, self._options.stop_row
        if split is None or split.kind != "time":
            everywhere = split is not None and split.kind == "stage"
            for table in self._rows(low, high, self._passed):
                yield table, None if everywhere else np.zeros(len(table), np.int64)
            return
        if high is None:
            high = low + sum(map(len, self._rows(low, None, Passed())))
        edges = np.linspace(low, high, sites + 1).round().astype(int).tolist()
        begin = self._first_time(edges[0])
        parts: list[Open] = [partial(self._part, a, b, begin) for a, b in pairwise(edges)]
        for part in merge_by_time(parts):
            yield part.table, part.sources

    def _part(self, low: int, high: int, begin: float) -> Iterator[Table]:
        """Consecutive rows as if they began when the first part does."""
        shift, row = None, 0
        for table in self._rows(low, high, self._passed):
            times = table.times if self._timed else np.arange(row, row + len(table), dtype=np.float64)
            row += len(table)
            if shift is None:
                known = times[~np.isnan(times)]
                shift = begin - float(known[0]) if len(known) else 0.0
            yield replace(table, times=times + shift)

    def _first_time(self, low: int) -> float:
        for table in self._rows(low, None, Passed()) if self._timed else ():
            if len(known := table.times[~np.isnan(table.times)]):
                return float(known[0])
        return 0.0

    def _rows(self, low: int, high: int | None, passed: Passed) -> Iterator[Table]:
        """Rows low to high of all files in order of time."""
        size = _ALONE_BYTES if len(self._inputs) == 1 else BLOCK_BYTES
        sources: list[Callable[[], Iterator[Table]]] = [
            partial(self._tables, each, passed, size) for each in self._inputs
        ]
        row = 0
        for part in merge_by_time(sources):
            n = len(part.table)
            begin, end = max(low - row, 0), n if high is None else min(high - row, n)
            row += n
            if begin < end:
                yield part.table.part(begin, end)
            if high is not None and row >= high:
                return

    def _tables(self, each: Input, passed: Passed, size: int) -> Iterator[Table]:
        """A file's tables; their rows are noted when the bytes are: when the next are asked for."""
        for table in stream_tables(each, self._profile, passed.moved, size):
            yield table
            passed.rows += len(table)


def event_step_s(options: ReplayOptions, profile: Profile) -> float:
    """Event time from one record to the next where the data have no time."""
    if options.every_s is not None:
        return options.every_s
    if options.rate is not None:
        return (options.speed or 1.0) / options.rate
    return profile.sampling_period_s or 1.0
