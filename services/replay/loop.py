"""The replay's loop: so many records are due, send them, say how far it is."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from services.replay.metrics import ReplayMetrics
from services.replay.publisher import SitePublisher
from services.runtime.log import Outgoing, Producer

Clock = Callable[[], float]
_TICK_S = 0.05
"""Between two batches at a given rate: many tiny ones would cost every reader more than the records do."""
_MAX_DEBT_S = 2.0
"""After an outage at most this much is caught up; the rest is as if the sources had been silent."""


class Pacer:
    """How many records are due at a time.

    Args:
        rate: records a second; 0: always a whole batch.
        batch: most records at once.
        total: records after which nothing is due; 0: never.
    """

    def __init__(self, rate: float, batch: int, total: int, now: float) -> None:
        self._rate, self._batch, self._total = rate, batch, total or math.inf
        self._start = now
        self.sent = 0

    @property
    def finished(self) -> bool:
        """Whether all records were sent."""
        return self.sent >= self._total

    @property
    def paced(self) -> bool:
        """Whether there is a rate to keep, so that a pause between batches costs nothing."""
        return self._rate > 0

    def behind_s(self, now: float) -> float:
        """Seconds by which sending lags behind the rate."""
        return max(0.0, now - self._start - self.sent / self._rate) if self._rate else 0.0

    def due(self, now: float) -> int:
        """Records to send now."""
        count = self._batch
        if self._rate:
            self._start += max(0.0, self.behind_s(now) - _MAX_DEBT_S)
            count = min(count, int((now - self._start) * self._rate) - self.sent)
        return int(min(count, self._total - self.sent))


def interleave(shares: Sequence[float], length: int = 10_000) -> NDArray[np.int64]:
    """(length,) whose turn it is: every index as often as its share says, evenly spread.

    >>> interleave([2, 1, 1], 4).tolist()
    [0, 1, 2, 0]
    """
    counts = np.diff(np.round(np.cumsum([0.0, *shares]) / sum(shares) * length)).astype(int)
    places = np.concatenate([(np.arange(count) + 0.5) / count for count in counts if count])
    return np.repeat(np.arange(len(counts)), counts)[np.argsort(places, kind="stable")]


class Replay:
    """Sends all sites' records until it is stopped or done.

    Args:
        sites: name -> publisher.
        shares: name -> share of all records.
        producer: sends and waits for the acknowledgements.
        pacer: says how many are due.
        metrics: counts what was acknowledged.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        sites: Mapping[str, SitePublisher],
        shares: Mapping[str, float],
        producer: Producer,
        pacer: Pacer,
        metrics: ReplayMetrics,
        clock: Clock,
    ) -> None:
        self._sites, self._producer, self._pacer, self._metrics, self._clock = (
            sites,
            producer,
            pacer,
            metrics,
            clock,
        )
        self._order = interleave([shares[name] for name in sites])
        self._reported = (clock(), 0)
        self._sent = dict.fromkeys(sites, 0)  # acknowledged
        self._attacks = dict.fromkeys(sites, 0)

    def run(self, stop: threading.Event, out: TextIO, every_s: float = 1.0, **extra: int) -> None:
        """Send; write a line of JSON to `out` every second, with `extra` in it, and one at the end."""
        next_report = self._clock() + every_s
        phase = "stopped"
        try:
            while not stop.is_set() and not self._pacer.finished:
                count = self._pacer.due(self._clock())
                if count:
                    self._send(count)
                if not count or self._pacer.paced:
                    stop.wait(_TICK_S)
                if self._clock() >= next_report:
                    next_report = self._clock() + every_s
                    self._report(out, None, extra)
            phase = "done" if self._pacer.finished else phase
        finally:
            self._report(out, phase, extra)

    def _send(self, count: int) -> None:
        before, after = self._pacer.sent, self._pacer.sent + count
        batch: list[Outgoing] = []
        turns = self._order[np.arange(before, after) % len(self._order)]
        counts = dict(zip(self._sites, np.bincount(turns, minlength=len(self._sites)).tolist(), strict=True))
        for name, site in self._sites.items():
            batch += site.batch(counts[name])
        self._producer.deliver(batch)
        self._pacer.sent = after
        for name, site in self._sites.items():
            self._metrics.records.labels(name).inc(counts[name])
            self._metrics.attacks.labels(name).inc(site.attacks - self._attacks[name])
            self._sent[name], self._attacks[name] = site.sent, site.attacks
        self._metrics.behind.set(self._pacer.behind_s(self._clock()))
        self._metrics.event_time.set(self._event_time())

    def _event_time(self) -> float:
        return max(site.event_time_s for site in self._sites.values())

    def _report(self, out: TextIO, phase: str | None, extra: Mapping[str, int]) -> None:
        now, sent = self._clock(), self._pacer.sent
        since, before = self._reported
        self._reported = (now, sent)
        largest = max(self._sites.values(), key=lambda site: site.sent)
        line = {
            "phase": phase or largest.phase,
            "sent": self._sent,
            "attacks": self._attacks,
            "rate": round((sent - before) / (now - since), 1) if now > since else 0.0,
            "event_time": datetime.fromtimestamp(self._event_time(), UTC).isoformat(timespec="milliseconds"),
            **extra,
        }
        print(json.dumps(line), file=out, flush=True)
