"""Records that come out of order, put in order of event time within a window."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Held:
    """A record that waits for its turn, as it came.

    Attributes:
        topic, partition, offset: position in the log.
        time: event time in seconds, finite.
        timestamp: of the message, in milliseconds.
    """

    topic: str
    partition: int
    offset: int
    time: float
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Reorder:
    """The records of one source partition that wait for their turn.

    A record is let out as soon as event time has gone `window_s` beyond its own; of those that may go at the same
    record of the log, the earlier goes first, and of equal times the one that came first. What comes more than
    `window_s` behind goes at once, out of order, and is counted: a late record is better scored than lost. All
    depends on the order of the log only, not on where batches end. Without further records nothing is let out: the
    last `window_s` before a silence wait for its end.

    Args:
        most: records that may wait; beyond, the earliest goes.

    Cost: a sort of what waits and the batch; the state is the messages that wait.
    """

    def __init__(self, most: int = 20_000) -> None:
        self.most = most
        self.late = 0
        """Records of the last `take` that came too late to be put in order."""
        self.moved = 0
        """Records of the last `take` that came out of order, within the window."""
        self._watermark = -math.inf
        self._waiting: list[Held] = []

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def first_offset(self) -> int | None:
        """The smallest offset that waits; None if none does."""
        return min((held.offset for held in self._waiting), default=None)

    def take(self, batch: Sequence[Held], window_s: float) -> list[Held]:
        """Take in the next records of the log; returns those whose turn has come, in their order."""
        self.late = self.moved = 0
        if len(self._waiting) + len(batch) <= self.most:
            return self._take(batch, window_s)
        return [out for held in batch for out in self._one(held, window_s)]

    def _one(self, held: Held, window_s: float) -> list[Held]:
        out = self._take([held], window_s)
        if len(self._waiting) > self.most:
            first = min(self._waiting, key=lambda waits: (waits.time, waits.offset))
            self._waiting.remove(first)
            out.append(first)
        return out

    def _take(self, batch: Sequence[Held], window_s: float) -> list[Held]:
        arriving = np.array([held.time for held in batch])
        marks = np.maximum.accumulate(np.concatenate([[self._watermark], arriving]))
        late = arriving < marks[:-1] - window_s
        self.late += int(late.sum())
        self.moved += int(((arriving < marks[:-1]) & ~late).sum())
        rows = [*self._waiting, *batch]
        times = np.array([held.time for held in rows])
        arrived = np.concatenate([np.zeros(len(self._waiting), np.int64), np.arange(len(batch))])
        turn = np.maximum(np.searchsorted(marks[1:], times + window_s, "left"), arrived)
        order = np.lexsort((times, turn))  # stable: equal times in the order of the log
        goes = turn[order] < len(batch)
        self._waiting = [rows[i] for i in np.sort(order[~goes]).tolist()]
        self._watermark = float(marks[-1])
        return [rows[i] for i in order[goes].tolist()]

    def drop(self) -> list[Held]:
        """Let all out at once, by time: there is no more, or they are not to be handled."""
        waiting, self._waiting = self._waiting, []
        return sorted(waiting, key=lambda held: held.time)

    def to_state(self) -> dict[str, Any]:
        """All state as JSON-able values."""
        return {
            "watermark": self._watermark if math.isfinite(self._watermark) else None,
            "waiting": [
                [
                    held.topic,
                    held.partition,
                    held.offset,
                    held.time,
                    held.timestamp,
                    _text(held.key),
                    _text(held.value),
                    [[name, _text(value)] for name, value in held.headers],
                ]
                for held in self._waiting
            ],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], most: int = 20_000) -> Reorder:
        """The inverse of `to_state`.

        Raises:
            KeyError, TypeError, ValueError: damaged.
        """
        new = cls(most)
        new._watermark = -math.inf if state["watermark"] is None else float(state["watermark"])
        new._waiting = [
            Held(
                str(topic),
                int(partition),
                int(offset),
                float(time),
                int(timestamp),
                _bytes(key),
                _bytes(value),
                tuple((str(name), _bytes(header) or b"") for name, header in headers),
            )
            for topic, partition, offset, time, timestamp, key, value, headers in state["waiting"]
        ]
        return new


def _text(value: bytes | None) -> str | None:
    return None if value is None else bytes(value).decode("latin-1")


def _bytes(value: str | None) -> bytes | None:
    return None if value is None else str(value).encode("latin-1")
