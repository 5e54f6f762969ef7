"""Records that come out of order, put in order of event time within a window."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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

    @property
    def size_bytes(self) -> int:
        """Of key, value and headers."""
        named = sum(len(name) + len(value) for name, value in self.headers)
        return len(self.key or b"") + len(self.value or b"") + named


class Reorder:
    """The records of one source partition that wait for their turn.

    A record is let out as soon as event time has gone `window_s` beyond its own; of those that may go at the same
    record of the log, the earlier goes first, and of equal times the one that came first. What comes more than
    `window_s` behind goes at once, out of order, and is counted: a late record is better scored than lost. All
    depends on the order of the log only, not on where batches end. Without further records nothing is let out: the
    last `window_s` before a silence wait for its end.

    Args:
        most, most_bytes: records that may wait, and their size; beyond, the earliest goes.

    Cost: some 3 us a record, however many wait; the state is the messages that wait.
    """

    def __init__(self, most: int = 20_000, most_bytes: int = 32 << 20) -> None:
        self.most, self.most_bytes = most, most_bytes
        self.late = 0
        """Records of the last `take` that came too late to be put in order."""
        self.moved = 0
        """Records of the last `take` that came out of order, within the window."""
        self._watermark = -math.inf
        self._waiting: list[tuple[float, int, Held]] = []  # a heap: the earliest first, in the order of the log
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def first_offset(self) -> int | None:
        """The smallest offset that waits; None if none does."""
        return min((offset for _, offset, _ in self._waiting), default=None)

    def take(self, batch: Sequence[Held], window_s: float) -> list[Held]:
        """Take in the next records of the log; returns those whose turn has come, in their order."""
        self.late = self.moved = 0
        out: list[Held] = []
        waiting = self._waiting
        for held in batch:
            if held.time < self._watermark - window_s:
                self.late += 1
            elif held.time < self._watermark:
                self.moved += 1
            else:
                self._watermark = held.time
            self._add(held)
            while waiting and (waiting[0][0] + window_s <= self._watermark or self._full()):
                first = heapq.heappop(waiting)[2]
                self._bytes -= first.size_bytes
                out.append(first)
        return out

    def _add(self, held: Held) -> None:
        heapq.heappush(self._waiting, (held.time, held.offset, held))
        self._bytes += held.size_bytes

    def _full(self) -> bool:
        return len(self._waiting) > self.most or self._bytes > self.most_bytes

    def drop(self) -> list[Held]:
        """Let all out at once, by time: there is no more, or they are not to be handled."""
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        return [held for _, _, held in sorted(waiting)]

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
                for _, _, held in sorted(self._waiting)
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
        for topic, partition, offset, time, timestamp, key, value, headers in state["waiting"]:
            new._add(
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
            )
        return new


def _text(value: bytes | None) -> str | None:
    return None if value is None else bytes(value).decode("latin-1")


def _bytes(value: str | None) -> bytes | None:
    return None if value is None else str(value).encode("latin-1")
