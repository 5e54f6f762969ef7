"""Missing cells filled with the entity's last value, as long as that is not too old."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import StateError
from streamgauge.names import Names
from streamgauge.stream.packing import pack, unpack

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
_PURGES_PER_AGE = 8
"""A full table looks for outdated entities this many times per maximum age of event time."""


@dataclass(frozen=True)
class Filled:
    """What `LastValues.fill` made of a batch.

    Attributes:
        values: (n, f) float64, NaN where nothing could be filled in; the given array where nothing was missing
            in columns of rule `last`.
        imputed: (n, f) True where a last value was filled in.
        unfilled: (n, f) True where a column of rule `last` is still missing.
    """

    values: Floats
    imputed: Bools
    unfilled: Bools


@dataclass(frozen=True)
class Mark:
    """What `LastValues.restore` needs: the rows as they were, and all entities if one is new."""

    slots: dict[str, int] | None
    free: list[int]
    rows: NDArray[np.int64]
    table: tuple[Floats, Floats, Floats]
    rest: tuple[float, float, int]


class LastValues:
    """The last value of each column and entity of one source partition, with its event time.

    The result depends on the order of the rows only, not on where batches end. An entity keeps its place until the
    table is full; then entities unseen for the longest maximum age make room. While there is none, a new entity's
    missing cells stay unfilled (`overflowed` counts its rows).
    """

    def __init__(self, max_entities: int = 10_000) -> None:
        self.max_entities = max_entities
        self.overflowed = 0
        """Rows of entities that found no place."""
        self._slots: dict[str, int] = {}
        self._free: list[int] = []
        self._values: Floats = np.empty((0, 0))
        self._times: Floats = np.empty((0, 0))
        self._seen: Floats = np.empty(0)
        self._watermark = -np.inf
        self._next_purge = -np.inf

    def fill(self, values: Floats, times: Floats, entities: Sequence[str], max_age_s: Floats) -> Filled:
        """Fill missing cells and remember the present ones.

        Args:
            values: (n, f) float64, NaN = missing. Not modified.
            times: (n,) float64, event time in seconds, finite.
            entities: n names.
            max_age_s: (f,) float64; how far apart in event time the last value and the row may be; NaN for columns
                of another rule, which are left alone.
        Raises:
            StateError: the number of columns of rule `last` differs from the remembered state's.
        """
        columns = np.flatnonzero(~np.isnan(max_age_s))
        nothing = np.zeros(values.shape, bool)
        if not len(columns) or not len(values):
            return Filled(values, nothing, nothing)
        self._fit(len(columns))
        part, ages = values if len(columns) == values.shape[1] else values[:, columns], max_age_s[columns]
        names = Names.of(entities)
        if not np.isnan(part.min()):  # the common case: nothing to fill in, only to remember
            for chunk, slots in self._chunks(names, times, float(ages.max())):
                self._remember(part[chunk], times[chunk], slots)
            return Filled(values, nothing, nothing)
        missing, part = np.isnan(part), part.copy()
        for chunk, slots in self._chunks(names, times, float(ages.max())):
            part[chunk] = self._forward(part[chunk], ~missing[chunk], times[chunk], slots, ages)
        out = values.copy()
        out[:, columns] = part
        still = np.isnan(part)
        imputed, unfilled = nothing, nothing.copy()
        imputed[:, columns], unfilled[:, columns] = missing & ~still, still
        return Filled(out, imputed, unfilled)

    def _chunks(self, names: Names, times: Floats, longest: float) -> Iterator[tuple[slice, NDArray[np.int64]]]:
        """Runs of rows within which no entity makes room for another, and the slots of each."""
        start = 0
        while start < len(times):
            slots, stop = self._assign(names, times, start, longest)
            yield slice(start, stop), slots
            start = stop

    def mark(self, entities: Sequence[str]) -> Mark:
        """The state before a `fill` of these entities' rows. Cost: these rows; the whole table if one is new."""
        names = set(Names.of(entities).distinct)
        rest, table = (self._watermark, self._next_purge, self.overflowed), (self._values, self._times, self._seen)
        if names <= self._slots.keys():
            rows = np.array([self._slots[name] for name in names], np.int64)
            values, times, seen = (array[rows] for array in table)
            return Mark(None, [], rows, (values, times, seen), rest)
        values, times, seen = (array.copy() for array in table)
        return Mark(dict(self._slots), list(self._free), np.empty(0, np.int64), (values, times, seen), rest)

    def restore(self, mark: Mark) -> None:
        """Undo the one `fill` since `mark`; each mark can be used once."""
        self._watermark, self._next_purge, self.overflowed = mark.rest
        if mark.slots is None:
            self._values[mark.rows], self._times[mark.rows], self._seen[mark.rows] = mark.table
        else:
            self._slots, self._free = mark.slots, mark.free
            self._values, self._times, self._seen = mark.table

    def _fit(self, width: int) -> None:
        if self._values.shape[1] == width:
            return
        if self._slots:
            raise StateError(
                f"last values of {self._values.shape[1]} columns do not fit {width} columns; the profile changed: "
                "start with a fresh context"
            )
        self._values, self._times = np.empty((0, width)), np.empty((0, width))

    def _assign(self, entities: Names, times: Floats, start: int, longest: float) -> tuple[NDArray[np.int64], int]:
        """Slots (-1: none) of the rows from `start` up to where old entities must first make room."""
        find = self._slots.get
        known = entities[start:].numbers(find, -1)
        if (known >= 0).all():  # the common case: no new entity
            self._watermark = max(self._watermark, float(times[start:].max()))
            np.maximum.at(self._seen, known, times[start:])
            return known, len(times)
        slots: list[int] = []
        names = list(entities[start:])
        stamps = times[start:].tolist()
        for k, time in enumerate(stamps):
            if time > self._watermark:
                self._watermark = time
            slot = find(names[k], -1)
            if slot < 0:
                if len(self._slots) >= self.max_entities and self._watermark >= self._next_purge:
                    if k:  # the rows before this one must be stored before any entity leaves
                        return self._seen_at(slots, stamps), start + k
                    self._purge(longest)
                slot = self._new_slot(names[k])
                self.overflowed += slot < 0
            slots.append(slot)
        return self._seen_at(slots, stamps), start + len(slots)

    def _seen_at(self, slots: list[int], stamps: list[float]) -> NDArray[np.int64]:
        rows = np.array(slots, np.int64)
        good = rows >= 0
        np.maximum.at(self._seen, rows[good], np.array(stamps[: len(slots)])[good])
        return rows

    def _new_slot(self, entity: str) -> int:
        if len(self._slots) >= self.max_entities:
            return -1
        if not self._free:
            self._grow()
        slot = self._slots[entity] = self._free.pop()
        self._values[slot] = np.nan
        self._times[slot] = -np.inf
        self._seen[slot] = -np.inf
        return slot

    def _grow(self) -> None:
        old = len(self._seen)
        more = min(max(64, old), self.max_entities - old)
        width = self._values.shape[1]
        self._values = np.concatenate([self._values, np.full((more, width), np.nan)])
        self._times = np.concatenate([self._times, np.full((more, width), -np.inf)])
        self._seen = np.concatenate([self._seen, np.full(more, -np.inf)])
        self._free.extend(range(old + more - 1, old - 1, -1))

    def _purge(self, longest: float) -> None:
        self._next_purge = self._watermark + longest / _PURGES_PER_AGE
        oldest = self._watermark - longest
        for entity in [e for e, slot in self._slots.items() if self._seen[slot] < oldest]:
            self._free.append(self._slots.pop(entity))

    def _remember(self, part: Floats, times: Floats, slots: NDArray[np.int64]) -> None:
        """Of rows without a missing value only the last one of each entity matters."""
        last = np.full(len(self._seen), -1)
        last[slots[slots >= 0]] = np.flatnonzero(slots >= 0)  # of equal slots the last row stays
        known = np.flatnonzero(last >= 0)
        self._values[known], self._times[known] = part[last[known]], times[last[known], None]

    def _forward(
        self, part: Floats, present: Bools, times: Floats, slots: NDArray[np.int64], ages: Floats
    ) -> Floats:
        """Carry values forward within each entity, starting from the remembered ones; remember the last."""
        order = np.argsort(slots, kind="stable")
        order = order[np.searchsorted(slots[order], 0) :]  # rows without a slot stay as they are
        if not len(order):
            return part
        ranked = slots[order]  # (m,) ascending
        heads = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
        tails = np.append(heads[1:], len(ranked)) - 1
        begins = np.repeat(heads, np.diff(np.append(heads, len(ranked))))  # (m,) each row's first row
        here = present[order]  # (m, c)
        source = np.where(here, np.arange(len(order))[:, None], -1)
        np.maximum.accumulate(source, axis=0, out=source)
        known = source >= begins[:, None]  # else: not in this batch, take the remembered one
        columns = np.arange(part.shape[1])
        sorted_times = times[order]
        value = np.where(known, part[order][source, columns], self._values[ranked])
        stamp = np.where(known, sorted_times[source], self._times[ranked])
        self._values[ranked[tails]], self._times[ranked[tails]] = value[tails], stamp[tails]
        fresh = np.abs(sorted_times[:, None] - stamp) <= ages
        out = part.copy()
        out[order] = np.where(here | fresh, value, np.nan)
        return out

    def to_state(self) -> dict[str, Any]:
        """All state as JSON-able values; arrays as base64 of compressed float64."""
        slots = list(self._slots.values())
        return {
            "entities": list(self._slots),
            "columns": self._values.shape[1],
            "values": pack(self._values[slots]),
            "times": pack(self._times[slots]),
            "seen": pack(self._seen[slots]),
            "watermark": None if self._watermark == -np.inf else self._watermark,
            "next_purge": None if self._next_purge == -np.inf else self._next_purge,
            "overflowed": self.overflowed,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], max_entities: int = 10_000) -> LastValues:
        """The inverse of `to_state`."""
        last = cls(max(max_entities, len(state["entities"])))
        last._slots = {entity: slot for slot, entity in enumerate(state["entities"])}
        shape = (len(last._slots), int(state["columns"]))
        last._values = unpack(state["values"]).reshape(shape)
        last._times = unpack(state["times"]).reshape(shape)
        last._seen = unpack(state["seen"])
        last._watermark = -np.inf if state["watermark"] is None else float(state["watermark"])
        last._next_purge = -np.inf if state["next_purge"] is None else float(state["next_purge"])
        last.overflowed = int(state["overflowed"])
        return last
