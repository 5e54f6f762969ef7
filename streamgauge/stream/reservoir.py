"""Bounded tables of rows a node may learn from or judge candidates with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import StateError
from streamgauge.windows import windows

Rows = dict[str, NDArray[Any]]
"""Columns of n rows each, named and typed as in `DTYPES`; ``x`` is (n, d)."""
Coded = tuple[list[str], NDArray[np.int32]]
"""Distinct names, and of each row the index of its name."""
DTYPES: Mapping[str, type[Any]] = {
    "x": np.float32,  # encoded columns, NaN = masked
    "time": np.float64,  # event time, seconds since 1970
    "offset": np.int64,  # position in the partition's log
    "y": np.float32,  # 0 or 1 as labelled, NaN presumed normal
    "exposure_s": np.float64,  # seconds of one entity's time that the row stands for (hold-out)
    "half": np.bool_,  # which half of the hold-out
    "entity": np.object_,
    "partition": np.object_,
}


def empty_rows(n: int, width: int) -> Rows:
    """Columns for n rows: zeros, empty strings, ``y`` NaN."""
    rows: Rows = {name: np.zeros((n, width) if name == "x" else n, dtype) for name, dtype in DTYPES.items()}
    rows["y"][:] = np.nan
    rows["entity"][:] = rows["partition"][:] = ""
    return rows


def join_rows(parts: list[Rows], width: int) -> Rows:
    """All parts one after the other."""
    return {name: np.concatenate([p[name] for p in (empty_rows(0, width), *parts)]) for name in DTYPES}


def windowed(rows: Rows, length: int) -> Rows:
    """Every run of `length` consecutive rows as one: ``x`` (n, length * d), the rest that of its last row."""
    last = {name: column[length - 1 :] for name, column in rows.items()}
    return {**last, "x": windows(rows["x"], length)}


def rows_to_state(
    rows: Rows, prefix: str, coded: Mapping[str, Coded] | None = None
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """JSON-able values (names) and arrays (everything else, names as codes); the arrays are copies.

    Args:
        rows: columns of n rows each.
        prefix: of the arrays' names.
        coded: columns of names whose codes are known; of the others they are looked up.
    """
    values: dict[str, Any] = {}
    arrays: dict[str, NDArray[Any]] = {}
    for name, dtype in DTYPES.items():
        column = rows[name]
        if dtype is np.object_:
            known = coded[name] if coded and name in coded else _coded(column.tolist())
            values[name], arrays[prefix + name] = known
        else:
            arrays[prefix + name] = np.array(column)
    return values, arrays


def _coded(names: list[str]) -> Coded:
    # Of some 40,000 names in a checkpoint: a loop in Python would stop the scorer for 15 ms.
    codes = {name: code for code, name in enumerate(dict.fromkeys(names))}
    return list(codes), np.fromiter(map(codes.__getitem__, names), np.int32, len(names))


def rows_from_state(values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], prefix: str) -> Rows:
    """The inverse of `rows_to_state`."""
    rows: Rows = {}
    for name, dtype in DTYPES.items():
        column = arrays[prefix + name]
        if dtype is np.object_:
            names = np.array([*values[name], ""], np.object_)
            rows[name] = names[column]
        else:
            rows[name] = np.array(column, dtype)
    return rows


class RowStore:
    """At most `capacity` rows; memory grows with what is there.

    Args:
        capacity: rows kept.
        width: d, columns of ``x``.
    """

    def __init__(self, capacity: int, width: int) -> None:
        self.capacity = capacity
        self.width = width
        self._rows = empty_rows(0, width)
        self._count = 0
        self._next = 0

    def __len__(self) -> int:
        return self._count

    @property
    def oldest_time(self) -> float:
        """Event time of the oldest row, minus infinity if there is none."""
        return float(self._rows["time"][: self._count].min()) if self._count else -np.inf

    def append(self, rows: Rows) -> None:
        """Add rows; the oldest ones leave when it is full."""
        n = len(rows["time"])
        if n > self.capacity:
            rows, n = {name: column[n - self.capacity :] for name, column in rows.items()}, self.capacity
        self._place(rows, (self._next + np.arange(n)) % max(1, self.capacity))
        self._next = (self._next + n) % max(1, self.capacity)

    def replace(self, rows: Rows, hashes: NDArray[np.uint64]) -> None:
        """Add rows; when it is full, each takes the place that its hash names.

        So rows of any age may be there, with fewer of the older ones: half of them are gone after 0.7 x capacity
        further rows.
        """
        n = min(len(hashes), self.capacity - self._count)
        self.append({name: column[:n] for name, column in rows.items()})
        if n < len(hashes) and self.capacity:
            slots = (hashes[n:] % np.uint64(self.capacity)).astype(np.int64)
            self._place({name: column[n:] for name, column in rows.items()}, slots)

    def _place(self, rows: Rows, slots: NDArray[np.int64]) -> None:
        if not len(slots):
            return
        need = int(slots.max()) + 1
        if need > len(self._rows["time"]):
            more = min(max(need, 2 * len(self._rows["time"]), 256), self.capacity) - len(self._rows["time"])
            self._rows = join_rows([self._rows, empty_rows(more, self.width)], self.width)
        self._count = max(self._count, need)
        for name, column in self._rows.items():
            column[slots] = rows[name]  # of equal slots the last row stays

    def rows(self) -> Rows:
        """A copy of all rows; oldest first if only `append` was used."""
        start = self._next if self._count == self.capacity else 0
        order = (start + np.arange(self._count)) % max(1, self._count)
        return {name: column[order] for name, column in self._rows.items()}

    def to_state(self, prefix: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """JSON-able values and arrays, whose names begin with `prefix`."""
        values, arrays = rows_to_state({k: v[: self._count] for k, v in self._rows.items()}, prefix)
        return {**values, "next": self._next}, arrays

    def load_state(self, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], prefix: str) -> None:
        """The inverse of `to_state`.

        Raises:
            StateError: rows of another width, or more than fit.
        """
        rows = rows_from_state(values, arrays, prefix)
        n, width = rows["x"].shape
        if not n:
            return  # no rows fit any width
        if width != self.width or n > self.capacity:
            raise StateError(
                f"saved rows are {n} x {width}, expected {self.width} columns and at most {self.capacity} rows: "
                "the profile or the learning settings changed; delete the checkpoint to start afresh"
            )
        self._rows, self._count, self._next = rows, n, int(values["next"])
