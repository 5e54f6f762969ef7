"""Which entities of a source fell silent, and which of their sensors are stuck at one value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import StateError
from streamgauge.names import Names
from streamgauge.stream.packing import pack, unpack

Floats = NDArray[np.float64]
LOOKED_AT = 2000
"""Of a larger batch only so many of its last records are looked at."""
FORGET_S = 86_400.0
"""An entity silent for this much longer than the rule says has left; its place is free."""


@dataclass(frozen=True)
class HealthRule:
    """When something is noticed. Times are event time in seconds.

    Attributes:
        silent_after_s: without a record while the source's other entities go on.
        stuck_after_s: with one value, at the least.
        stuck_factor: so many times longer than the sensor ever stood still: a valve may stay open for hours.
        least_changes: a sensor that has changed less often is none that could be stuck.
    """

    silent_after_s: float
    stuck_after_s: float
    stuck_factor: float = 10.0
    least_changes: int = 20


class Stuck(NamedTuple):
    """A sensor that stands still: its column, its value, and since when (event time in seconds)."""

    entity: str
    column: int
    value: float
    since: float


class SourceHealth:
    """What was last seen of one source partition's entities.

    Each batch shows the newest record of an entity; that a value changed and came back between two batches goes
    unseen, so what is noticed may depend on where batches end by a batch's length. It decides no score.

    Args:
        max_entities: watched at a time; further ones are not.

    Cost: a few array operations a batch on (entities in it, numeric); 32 bytes a sensor.
    """

    def __init__(self, max_entities: int = 1000) -> None:
        self.max_entities = max_entities
        self._slots: dict[str, int] = {}
        self._watermark = -math.inf
        self._clear(0)

    def _clear(self, width: int) -> None:
        self._slots = {}
        self._seen: Floats = np.zeros(0)
        self._table: Floats = np.zeros((4, 0, width))  # last value, since, longest stretch, changes

    def observe(self, values: Floats, times: Floats, entities: Sequence[str]) -> None:
        """Take in scored records of the partition, in any order.

        Args:
            values: (n, numeric) raw, NaN where missing; a missing value says nothing.
            times: (n,) event time in seconds, finite.
            entities: n names.
        """
        if not len(times):
            return
        if values.shape[1] != self._table.shape[2]:
            self._clear(values.shape[1])
        self._watermark = max(self._watermark, float(times.max()))
        first = max(0, len(times) - LOOKED_AT)
        order = np.argsort(times[first:], kind="stable") + first
        names = Names.of(entities)
        newest = np.full(len(names.distinct), -1)
        newest[names.codes[order]] = order  # of equal places the last row stays
        known = [k for k in np.flatnonzero(newest >= 0).tolist() if self._place(names.distinct[k])]
        slots = np.array([self._slots[names.distinct[k]] for k in known], np.int64)
        rows = newest[known]
        fresh = times[rows] >= self._seen[slots]
        slots, rows = slots[fresh], rows[fresh]
        self._seen[slots] = times[rows]
        self._compare(slots, values[rows], times[rows][:, None])

    def _compare(self, slots: NDArray[np.int64], values: Floats, times: Floats) -> None:
        last, since, longest, changes = self._table[:, slots]
        first = np.isnan(last) & ~np.isnan(values)
        changed = ~first & ~np.isnan(values) & (values != last)
        self._table[2, slots] = np.where(changed, np.maximum(longest, times - since), longest)
        self._table[3, slots] = changes + changed
        self._table[1, slots] = np.where(changed | first, times, since)
        self._table[0, slots] = np.where(changed | first, values, last)

    def _place(self, name: str) -> bool:
        """Whether the entity has a place now."""
        if name in self._slots:
            return True
        if len(self._slots) >= self.max_entities:
            return False
        self._slots[name] = len(self._slots)
        empty = np.zeros((4, 1, self._table.shape[2]))
        empty[0] = math.nan
        self._table = np.concatenate([self._table, empty], axis=1)
        self._seen = np.append(self._seen, -math.inf)
        return True

    def silent(self, rule: HealthRule) -> list[str]:
        """Entities without a record for longer than the rule allows, while the partition went on."""
        self._forget(rule)
        behind = self._watermark - self._seen
        return [name for name, slot in self._slots.items() if behind[slot] > rule.silent_after_s]

    def stuck(self, rule: HealthRule) -> list[Stuck]:
        """Sensors that stand still for longer than the rule allows, of entities that are not silent."""
        last, since, longest, changes = self._table
        still = self._seen[:, None] - since
        allowed = np.maximum(rule.stuck_after_s, rule.stuck_factor * longest)
        behind = (self._watermark - self._seen)[:, None]
        found = (still > allowed) & (changes >= rule.least_changes) & (behind <= rule.silent_after_s)
        names = list(self._slots)
        return [
            Stuck(names[slot], column, float(last[slot, column]), float(since[slot, column]))
            for slot, column in np.argwhere(found).tolist()
        ]

    def _forget(self, rule: HealthRule) -> None:
        gone = self._watermark - self._seen > rule.silent_after_s + FORGET_S
        if gone.any():
            names = [name for name, slot in self._slots.items() if not gone[slot]]
            self._slots = {name: slot for slot, name in enumerate(names)}
            self._seen, self._table = self._seen[~gone], self._table[:, ~gone]

    def to_state(self) -> dict[str, Any]:
        """All state as JSON-able values."""
        return {
            "watermark": self._watermark if math.isfinite(self._watermark) else None,
            "entities": list(self._slots),
            "width": self._table.shape[2],
            "seen": pack(self._seen),
            "table": pack(self._table),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], max_entities: int = 1000) -> SourceHealth:
        """The inverse of `to_state`.

        Raises:
            StateError: the arrays do not fit the entities.
        """
        names, width = [str(name) for name in state["entities"]], int(state["width"])
        seen, table = unpack(state["seen"]), unpack(state["table"])
        if seen.size != len(names) or table.size != 4 * len(names) * width:
            raise StateError(f"{len(names)} watched entities have {table.size} cells; delete the context")
        new = cls(max(max_entities, len(names)))
        new._watermark = -math.inf if state["watermark"] is None else float(state["watermark"])
        new._slots = {name: slot for slot, name in enumerate(names)}
        new._seen, new._table = seen, table.reshape(4, len(names), width)
        return new
