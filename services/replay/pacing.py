"""When messages are due: at a rate, at a multiple of event time, or at once."""

from __future__ import annotations

import math

import numpy as np

from services.replay.messages import Messages

MAX_DEBT_S = 2.0
"""After an outage at most this much is caught up; the rest is as if the sources had been silent."""


class Pacer:
    """How many messages may go.

    Args:
        rate: records a second; None: see `speed`.
        speed: seconds of event time a second; None with `rate` None: everything is due at once.
        longest_gap_s: a longer time without records is waited for only so long, at the given speed.
        now: seconds, of the clock that is passed later.
    """

    def __init__(
        self, rate: float | None, speed: float | None, now: float, longest_gap_s: float = math.inf
    ) -> None:
        self._rate = rate
        self._speed = None if rate is not None else speed
        self._start, self._longest_gap_s = now, longest_gap_s
        self._zero: float | None = None  # event time that is due at the start
        self._sent = 0

    @property
    def paced(self) -> bool:
        """Whether there is something to keep to, so that a pause between batches costs nothing."""
        return self._rate is not None or self._speed is not None

    def sent(self, records: int) -> None:
        """Note that so many records went."""
        self._sent += records

    def behind_s(self, messages: Messages, at: int, now: float) -> float:
        """Seconds by which the message `at` is late."""
        if self._rate is not None:
            return max(0.0, now - self._start - self._sent / self._rate)
        if self._speed is None or self._zero is None or at >= len(messages):
            return 0.0
        due = float(messages.due[at])
        return max(0.0, now - self._start - (due - self._zero) / self._speed) if math.isfinite(due) else 0.0

    def due(self, messages: Messages, at: int, now: float, most: int) -> int:
        """Messages from `at` on that may go now, at most `most`."""
        left = min(most, len(messages) - at)
        if not self.paced:
            return left
        self._start += max(0.0, self.behind_s(messages, at, now) - MAX_DEBT_S)
        if self._rate is not None:
            allowed = int((now - self._start) * self._rate) - self._sent
            records = np.cumsum(messages.counts[at : at + left])
            return int(np.searchsorted(records, allowed, side="right"))
        assert self._speed is not None
        if self._zero is None:
            finite = messages.due[np.isfinite(messages.due)]
            if not len(finite):
                return left
            self._zero = float(finite[0])
        ahead_s = (float(messages.due[at]) - self._zero) / self._speed - (now - self._start)
        if ahead_s > self._longest_gap_s:
            self._start -= ahead_s - self._longest_gap_s
        reached = self._zero + (now - self._start) * self._speed
        return int(np.searchsorted(messages.due[at : at + left], reached, side="right"))
