"""The loop of the simulated plants: so many seconds of event time are due, make them, write them."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TextIO

from services.plant.metrics import PlantMetrics
from services.plant.outputs import Output
from services.plant.sites import Sites
from streamgauge.plant.plant import Reading

Clock = Callable[[], float]
_TICK_S = 0.05
"""Between two batches at a given speed: many tiny ones would cost every reader more than the records do."""
_MAX_DEBT_S = 2.0
"""After an outage at most so much wall time is caught up; event time then goes on later than planned."""
_BATCH = 1000
"""Most records of a plant in one batch."""
_SAVE_EVERY_S = 10.0


class Loop:
    """Makes records until stopped or done.

    Args:
        sites: the plants.
        output: where the records go.
        metrics: counts what was written.
        speed: seconds of event time a second; 0: as fast as possible.
        for_s: seconds of event time in all; 0: endless.
        clock: seconds, monotonic.
    """

    def __init__(
        self, sites: Sites, output: Output, metrics: PlantMetrics, speed: float, for_s: float, clock: Clock
    ) -> None:
        self._sites, self._output, self._metrics, self._clock = sites, output, metrics, clock
        self._speed, self._left = speed, math.ceil(for_s) if for_s else math.inf
        self._start, self._made = clock(), 0
        self._reported = (clock(), 0)
        self._sent = dict.fromkeys(sites.plants, 0)
        self._attacks = dict.fromkeys(sites.plants, 0)
        self._now: dict[str, str] = dict.fromkeys(sites.plants, "")

    def run(self, stop: threading.Event, out: TextIO, every_s: float = 1.0, **extra: int) -> None:
        """Write records; a line of JSON to `out` every second, with `extra` in it, and one at the end."""
        next_report, next_save = self._clock() + every_s, self._clock() + _SAVE_EVERY_S
        # States are saved only after all that came before them was written: else records would be lost.
        try:
            while not stop.is_set() and self._left > 0:
                count = self._due()
                if count:
                    self._write(count)
                if self._speed or not count:
                    stop.wait(_TICK_S)
                if self._clock() >= next_report:
                    next_report = self._clock() + every_s
                    self._report(out, None, extra)
                if self._clock() >= next_save:
                    next_save = self._clock() + _SAVE_EVERY_S
                    self._sites.save()
            self._sites.save()
        finally:
            self._report(out, "stopped" if self._left > 0 else "done", extra)

    def _behind_s(self) -> float:
        return max(0.0, self._clock() - self._start - self._made / self._speed) if self._speed else 0.0

    def _due(self) -> int:
        """Seconds of event time to make now."""
        count: float = _BATCH
        if self._speed:
            self._start += max(0.0, self._behind_s() - _MAX_DEBT_S)
            count = min(count, int((self._clock() - self._start) * self._speed) - self._made)
        return int(min(count, self._left))

    def _write(self, count: int) -> None:
        attacks = dict(self._attacks)
        self._output.write(self._counted(count))
        self._made += count
        self._left -= count
        for site, before in attacks.items():
            self._metrics.records.labels(site).inc(count)
            self._metrics.attacks.labels(site).inc(self._attacks[site] - before)
        self._metrics.behind.set(self._behind_s())
        self._metrics.event_time.set(self._sites.event_time_s - 1)

    def _counted(self, count: int) -> Iterator[tuple[str, Reading]]:
        for site, reading in self._sites.seconds(count):
            self._sent[site] += 1
            self._attacks[site] += bool(reading.attacks)
            self._now[site] = reading.attack_class
            yield site, reading

    def _report(self, out: TextIO, phase: str | None, extra: dict[str, int]) -> None:
        now, sent = self._clock(), sum(self._sent.values())
        since, before = self._reported
        self._reported = (now, sent)
        line = {
            "phase": phase or ("attack" if any(self._now.values()) else "normal"),
            "sent": self._sent,
            "attacks": self._attacks,
            "under_attack": {site: kind for site, kind in self._now.items() if kind},
            "rate": round((sent - before) / (now - since), 1) if now > since else 0.0,
            "event_time": datetime.fromtimestamp(self._sites.event_time_s - 1, UTC).isoformat(),
            **extra,
        }
        print(json.dumps(line), file=out, flush=True)
