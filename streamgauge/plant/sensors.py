"""What the 25 sensors show of the plant: the truth, their drift and their noise. All numbers are ours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamgauge.plant.chemistry import Quality
from streamgauge.plant.conditions import Conditions
from streamgauge.plant.design import Design
from streamgauge.plant.stages import Water
from streamgauge.plant.tags import SENSORS

SHOCKS = 3
"""Random numbers of a step that move the raw water, beside one for each sensor."""
BLOCK = 4096
"""Random numbers are drawn for so many steps at a time."""
_NAMES = tuple(SENSORS)
_DRIFT = 0.004  # of an analyser from one service to the next
_SHOWN = tuple((_DRIFT if name[0] == "A" else 0.0, sensor.decimals) for name, sensor in SENSORS.items())
_HARDNESS = 0.575  # of AIT401's unit to uS/cm


class Noise:
    """Normal numbers of every step: 25 of the sensors, in their units, and 3 shocks.

    A step has the same ones however one gets to it.

    Args:
        seed: of the plant.
        factor: of all sensors' noise.
    """

    def __init__(self, seed: int, factor: float) -> None:
        self._seed = seed
        self._scale = np.array([factor * s.noise for s in SENSORS.values()] + [1.0] * SHOCKS)
        self._number = -1
        self._rows: list[list[float]] = []

    def at(self, step: int) -> list[float]:
        """The numbers of step 0, 1, ..."""
        number, row = divmod(step, BLOCK)
        if number != self._number:
            generator = np.random.default_rng([self._seed, 2, number])
            self._rows = (generator.standard_normal((BLOCK, len(self._scale))) * self._scale).tolist()
            self._number = number
        return self._rows[row]


def truth(w: Water, q: Quality, design: Design, around: Conditions) -> tuple[float, ...]:
    """What perfect sensors would show, in the order of `SENSORS`."""
    head = w.q301 * w.q301 / 5.06  # the filter's loss goes with the square of its flow
    permeate = w.q502 / 1.28
    reject = w.q503 / 0.75
    feed_pressure = 42.0 * (w.q401 > 0.1) + design.pressure * around.membrane * permeate * (
        1 - 0.002 * around.warmth
    )
    return (
        w.q101,
        w.h1,
        q.c2,
        q.p2,
        q.o2,
        w.q201,
        12.5 * head * w.fouling,
        w.q301,
        w.h3,
        _HARDNESS * q.c4,
        q.o4r,
        w.q401,
        w.h4,
        q.p5,
        q.o5,
        q.c5,
        q.salt,
        w.q401,
        w.q502,
        w.q503,
        w.q504,
        feed_pressure,
        1.2 * permeate,
        max(0.0, feed_pressure - 60.0 * reject * reject),
        w.q601,
    )


def read(true: Sequence[float], noise: Sequence[float], around: Conditions) -> dict[str, float]:
    """What the sensors send: analysers drift between services, nothing shows below 0."""
    drift = around.worn
    shown = [
        sent if (sent := round(value + value * rate * drift + error, decimals)) > 0.0 else 0.0
        for value, error, (rate, decimals) in zip(true, noise, _SHOWN, strict=False)
    ]
    return dict(zip(_NAMES, shown, strict=True))
