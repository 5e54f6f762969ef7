"""What goes into a pivot and what comes out: messages of one tag each, open and closed ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
KEPT_BYTES = 4096
"""A longer message is not kept for the context of its record."""


@dataclass(frozen=True, slots=True)
class TickRule:
    """How messages of one tag each become records.

    Attributes:
        width: number of tags.
        tick_s: length of a tick in seconds of event time, above 0.
        wait_s: how long a tick that lacks tags stays open after its end, by its entity's own event time.
    """

    width: int
    tick_s: float
    wait_s: float = 0.0


@dataclass(frozen=True)
class TagBatch:
    """Messages of one source partition, in the order of its log; n of them.

    Attributes:
        times: (n,) event time in seconds, finite.
        entities: n names.
        columns: n columns that the tags stand for, each in [0, width).
        values: n numbers (of a category: its code), NaN = said to be missing.
        labels: (n,) 1 abnormal, 0 normal, NaN without a label.
        offsets: (n,) position in the log.
        index: (n,) position in whatever the caller decoded.
        raw: n messages as they came; None: no record needs its own.
    """

    times: Floats
    entities: Sequence[str]
    columns: Sequence[int]
    values: Sequence[float]
    labels: NDArray[np.float32]
    offsets: Ints
    index: Ints
    raw: Sequence[bytes | None] | None


@dataclass(frozen=True)
class Ticks:
    """Closed ticks, m of them, in the order in which they were closed; of each entity by rising time.

    Attributes:
        values: (m, width) float64, NaN = missing.
        times: (m,) event time of the tick's newest message.
        entities: m names.
        labels: (m,) float32; 1 if a message was labelled abnormal, else 0 if one was labelled, else NaN.
        offsets: (m,) int64, position of the last message that went into the tick: the record's own.
        closed_by: (m,) int64, `TagBatch.index` of the message at which the tick was closed; -1 at the end of data.
        complete: (m,) bool, every tag was seen.
        raw: m messages, each the tick's last one.
    """

    values: Floats
    times: Floats
    entities: list[str]
    labels: NDArray[np.float32]
    offsets: Ints
    closed_by: Ints
    complete: NDArray[np.bool_]
    raw: list[bytes | None]

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, part: slice) -> Ticks:
        """A part of them, in order."""
        kept: dict[str, Any] = {f.name: getattr(self, f.name)[part] for f in fields(self)}
        return Ticks(**kept)

    def joined(self, later: Ticks) -> Ticks:
        """These, then the later ones."""
        joined: dict[str, Any] = {}
        for f in fields(self):
            mine, others = getattr(self, f.name), getattr(later, f.name)
            joined[f.name] = np.concatenate([mine, others]) if isinstance(mine, np.ndarray) else mine + others
        return Ticks(**joined)


@dataclass(slots=True)
class OpenTick:
    """What was seen of a tick; `left` tags were not."""

    first: int
    """Offset of its first message; `last`: of its newest."""
    cells: list[float]
    seen: list[float]
    """Event time of each cell; minus infinity where the tag was not seen."""
    left: int
    time: float = -math.inf
    last: int = -1
    label: float = math.nan
    raw: bytes | None = None


@dataclass(slots=True)
class EntityTicks:
    """The open ticks of an entity, by their number."""

    touched: float = -math.inf
    """The partition's watermark at the entity's last message."""
    newest: int = -(2**62)
    closed: int = -(2**62)
    """Ticks up to this one are closed."""
    open: dict[int, OpenTick] = field(default_factory=dict)


def closed_ticks(closed: Sequence[tuple[str, OpenTick, int]], width: int) -> Ticks:
    """Ticks as they were closed: (entity, tick, index of the message at which it was)."""
    return Ticks(
        values=np.array([t.cells for _, t, _ in closed], np.float64).reshape(len(closed), width),
        times=np.array([t.time for _, t, _ in closed], np.float64),
        entities=[name for name, _, _ in closed],
        labels=np.array([t.label for _, t, _ in closed], np.float32),
        offsets=np.array([t.last for _, t, _ in closed], np.int64),
        closed_by=np.array([index for _, _, index in closed], np.int64),
        complete=np.array([t.left == 0 for _, t, _ in closed], bool),
        raw=[t.raw for _, t, _ in closed],
    )


def tick_state(tick: OpenTick) -> list[Any]:
    """All but its cells, as JSON-able values."""
    raw = None if tick.raw is None else bytes(tick.raw).decode("latin-1")
    return [tick.first, tick.last, finite_or_none(tick.time), finite_or_none(tick.label), raw]


def tick_of(state: Sequence[Any], cells: list[float], seen: list[float]) -> OpenTick:
    """The inverse of `tick_state`."""
    first, last, time, label, raw = state
    return OpenTick(
        int(first),
        cells,
        seen,
        seen.count(-math.inf),
        -math.inf if time is None else float(time),
        int(last),
        math.nan if label is None else float(label),
        None if raw is None else str(raw).encode("latin-1"),
    )


def finite_or_none(value: float) -> float | None:
    """JSON has no other numbers."""
    return value if math.isfinite(value) else None
