"""Messages of one tag each become records: one for each entity and tick of event time (ADR 035).

Everything depends on the order of the log and on event time only, never on where a poll's batch ends.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from streamgauge.errors import StateError
from streamgauge.stream.packing import pack, unpack
from streamgauge.stream.ticks import (
    KEPT_BYTES,
    EntityTicks,
    OpenTick,
    TagBatch,
    TickRule,
    Ticks,
    closed_ticks,
    finite_or_none,
    tick_of,
    tick_state,
)

IDLE_TICKS = 10
"""An entity is idle once event time has gone on by so many ticks and waits without it; its ticks are closed."""
EPSILON = 1e-3
"""Times so near before a tick's beginning, as a share of a tick, belong to it: 0.3 / 0.1 is less than 3."""


class Pivot:
    """The open ticks of one source partition.

    An entity's ticks are closed in their order, each as soon as all tags were seen in it, else when the entity's
    own event time is a tick and `wait_s` past its beginning, when the entity is idle, or when it is the one silent
    for the longest of more than `max_entities`, or when `most_ticks` are open. What comes for a closed tick is
    late: counted, and left out. Of several values of a tag in an open tick the newest counts. An idle entity is
    forgotten, and begins anew.

    Args:
        max_entities: with ticks of their own at a time.
        most_ticks: open at a time, of all entities together; a single one may have more by a long `wait_s`.

    Cost: 1.3 us a message of 51 tags (decoding it: 2.5); the state is some 16 bytes a tag and open tick.
    """

    def __init__(self, max_entities: int = 10_000, most_ticks: int = 100_000) -> None:
        self.max_entities, self.most_ticks = max_entities, most_ticks
        self.late = 0
        """Messages of the last `take` that came for a closed tick."""
        self._rule = TickRule(0, 1.0)
        self._watermark = -math.inf
        # By last message: the first one is silent for the longest. A plain dict would search for its first one.
        self._entities: OrderedDict[str, EntityTicks] = OrderedDict()
        self._opened = 0
        self._closed: list[tuple[str, OpenTick, int]] = []

    @property
    def first_offset(self) -> int | None:
        """The smallest offset that an open tick still needs; None if none is open."""
        return min((t.first for e in self._entities.values() for t in e.open.values()), default=None)

    @property
    def open_ticks(self) -> int:
        """Number of open ticks."""
        return self._opened

    def take(self, batch: TagBatch, rule: TickRule) -> Ticks:
        """Take in the next messages; returns the ticks that they closed.

        Open ticks of another width or length mean nothing any more and are forgotten.
        """
        self._follow(rule)
        numbers = np.floor(batch.times / rule.tick_s + EPSILON).astype(np.int64).tolist()
        rows = zip(
            batch.entities,
            numbers,
            batch.times.tolist(),
            batch.columns,
            batch.values,
            batch.labels.tolist(),
            batch.offsets.tolist(),
            batch.index.tolist(),
            _kept(batch),
            strict=True,
        )
        self.late = 0
        entities = self._entities
        for name, number, time, column, value, label, offset, index, message in rows:
            entity = entities.get(name)
            if entity is None:
                entity = self._new(index)
            elif number <= entity.closed:
                self.late += 1
                continue
            else:
                del entities[name]
            tick = entity.open.get(number)
            if tick is None:
                while self._opened >= self.most_ticks and entities:
                    self._close_first(index)
                tick = self._open(entity, number, offset)
            entities[name] = entity
            before = tick.seen[column]
            if before == -math.inf:
                tick.left -= 1
            if time >= before:
                tick.cells[column], tick.seen[column] = value, time
            if time > tick.time:
                tick.time = time
            tick.last, tick.raw = offset, message
            if label == label and not label <= tick.label:  # a label, and more than the tick has
                tick.label = label
            if not tick.left or len(entity.open) > 1:
                self._close_due(name, entity, index)
            if time > self._watermark:
                self._watermark = entity.touched = time
                self._close_idle(index)
            else:
                entity.touched = self._watermark
        return self._ticks()

    def finish(self) -> Ticks:
        """Close all ticks: there is no more."""
        for name, entity in self._entities.items():
            self._close_all(name, entity, -1)
        return self._ticks()

    def drop_open(self) -> int:
        """Forget the open ticks, whose messages crashed the node; returns how many there were."""
        dropped = self.open_ticks
        for entity in self._entities.values():
            entity.closed = max([entity.closed, *entity.open])
            entity.open.clear()
        self._opened = 0
        return dropped

    def _follow(self, rule: TickRule) -> None:
        if (rule.width, rule.tick_s) != (self._rule.width, self._rule.tick_s):
            self._entities.clear()
            self._opened = 0
        self._rule = rule
        self._wait = math.ceil(rule.wait_s / rule.tick_s - EPSILON)
        self._idle_s = IDLE_TICKS * (rule.tick_s + rule.wait_s)

    def _open(self, entity: EntityTicks, number: int, offset: int) -> OpenTick:
        width = self._rule.width
        tick = OpenTick(offset, [math.nan] * width, [-math.inf] * width, width)
        entity.open[number] = tick
        self._opened += 1
        entity.newest = max(entity.newest, number)
        return tick

    def _new(self, index: int) -> EntityTicks:
        if len(self._entities) >= self.max_entities:
            self._close_first(index)
        return EntityTicks()

    def _close_first(self, index: int) -> None:
        name = next(iter(self._entities))
        self._close_all(name, self._entities.pop(name), index)

    def _close_idle(self, index: int) -> None:
        while True:
            first = next(iter(self._entities.values()))
            if self._watermark - first.touched < self._idle_s:
                return
            self._close_first(index)

    def _close_due(self, name: str, entity: EntityTicks, index: int) -> None:
        while entity.open:
            number = min(entity.open)
            if entity.open[number].left and entity.newest - number <= self._wait:
                return
            self._close(name, entity, number, index)

    def _close_all(self, name: str, entity: EntityTicks, index: int) -> None:
        for number in sorted(entity.open):
            self._close(name, entity, number, index)

    def _close(self, name: str, entity: EntityTicks, number: int, index: int) -> None:
        entity.closed = number
        self._opened -= 1
        self._closed.append((name, entity.open.pop(number), index))

    def _ticks(self) -> Ticks:
        closed, self._closed = self._closed, []
        return closed_ticks(closed, self._rule.width)

    def to_state(self) -> dict[str, Any]:
        """All state as JSON-able values."""
        open_ = [(i, n, t) for i, e in enumerate(self._entities.values()) for n, t in e.open.items()]
        return {
            "width": self._rule.width,
            "tick_s": self._rule.tick_s,
            "watermark": finite_or_none(self._watermark),
            "entities": [[n, finite_or_none(e.touched), e.newest, e.closed] for n, e in self._entities.items()],
            "ticks": [[i, number, *tick_state(tick)] for i, number, tick in open_],
            "cells": pack(np.array([t.cells for _, _, t in open_], np.float64)),
            "seen": pack(np.array([t.seen for _, _, t in open_], np.float64)),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], max_entities: int = 10_000) -> Pivot:
        """The inverse of `to_state`.

        Raises:
            StateError: the arrays do not fit the ticks.
        """
        new = cls(max(max_entities, len(state["entities"])))
        new._follow(TickRule(int(state["width"]), float(state["tick_s"])))
        shape = (len(state["ticks"]), new._rule.width)
        cells, seen = unpack(state["cells"]), unpack(state["seen"])
        if not cells.size == seen.size == shape[0] * shape[1]:
            raise StateError(f"{len(state['ticks'])} open ticks have {cells.size} cells; delete the context")
        entities = [
            (str(name), EntityTicks(_seconds(touched), int(newest), int(closed)))
            for name, touched, newest, closed in state["entities"]
        ]
        rows = zip(state["ticks"], cells.reshape(shape).tolist(), seen.reshape(shape).tolist(), strict=True)
        for (i, number, *rest), values, times in rows:
            entities[int(i)][1].open[int(number)] = tick_of(rest, values, times)
        new._opened = len(state["ticks"])
        new._watermark, new._entities = _seconds(state["watermark"]), OrderedDict(entities)
        return new


def _kept(batch: TagBatch) -> Sequence[bytes | None]:
    if batch.raw is None:
        return [None] * len(batch.entities)
    return [None if message is None or len(message) > KEPT_BYTES else message for message in batch.raw]


def _seconds(value: float | None) -> float:
    return -math.inf if value is None else float(value)
