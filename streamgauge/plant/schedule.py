"""An endless schedule of attacks of all classes, at one point or several, in one stage or several. All ours.

The n-th attack follows from the seed and n alone. Every six attacks hold each class once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamgauge.plant.attacks import CLASSES, HISTORY_S, Attack
from streamgauge.plant.tags import ACTUATORS, SENSORS, TAGS, span, stage_of

_LIVELY = ("FIT101", "LIT101", "FIT201", "AIT202", "DPIT301", "FIT301", "LIT301", "AIT402", "LIT401")
"""Sensors that move all the time: elsewhere a reading that is late, old or missing is hardly false."""
_DRIVEN = (
    "MV101",
    "P101",
    "MV201",
    "P201",
    "P203",
    "P205",
    "MV302",
    "P301",
    "UV401",
    "P401",
    "P403",
    "P501",
    "P602",
)
_LOGIC: tuple[tuple[tuple[str, ...], dict[str, float]], ...] = (
    (("MV101",), {"t101_high": 1050.0}),
    (("MV101",), {"t101_low": 350.0, "t101_high": 450.0}),
    (("P101", "MV201"), {"t301_low": 1000.0, "t301_high": 1180.0}),
    (("P101", "MV201"), {"t301_low": 550.0, "t301_high": 700.0}),
    (("P301", "MV302"), {"t401_low": 1000.0, "t401_high": 1150.0}),
    (("P301", "MV302"), {"t401_low": 500.0, "t401_high": 600.0}),
    (("P203",), {"acid_low": 7.6, "acid_high": 7.8}),
    (("P205",), {"chlorine_low": 480.0, "chlorine_high": 500.0}),
    (("P201",), {"salt_low": 272.0, "salt_high": 280.0}),
    (("P403",), {"bisulphite_low": 200.0, "bisulphite_high": 215.0}),
    (("MV301", "MV303", "P602"), {"wash_every": 120.0}),
    (("MV301", "MV303", "P602"), {"wash_for": 400.0}),
    (("UV401",), {"uv": 0.0}),
    (("MV101", "P203"), {"t101_high": 1000.0, "acid_low": 7.7, "acid_high": 7.9}),
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When attacks come.

    Attributes:
        seed: of the schedule.
        first: step of the first attack.
        calm: shortest and longest time between two attacks, in seconds.
        lasting: shortest and longest attack, in seconds.
    """

    seed: int
    first: int
    calm: tuple[int, int] = (1200, 3600)
    lasting: tuple[int, int] = (300, 1200)

    def attack(self, number: int, end: int) -> Attack:
        """The attack of this number, from 0; `end` is the step at which the one before it ended."""
        generator = np.random.default_rng([self.seed, 3, number])
        start = max(self.first, end + int(generator.integers(*self.calm, endpoint=True)) if number else self.first)
        duration = round(float(np.exp(generator.uniform(*np.log(self.lasting)))))
        order = np.random.default_rng([self.seed, 4, number // len(CLASSES)]).permutation(len(CLASSES))
        kind = CLASSES[int(order[number % len(CLASSES)])]
        return _drawn(kind, start, duration, generator)


def _drawn(kind: str, start: int, duration: int, g: np.random.Generator) -> Attack:
    if kind == "control-logic":
        points, values = _LOGIC[int(g.integers(len(_LOGIC)))]
        return Attack(kind, points, start, duration, set=values)
    if kind == "command-injection":
        return Attack(kind, _points(_DRIVEN, ACTUATORS, g), start, duration)
    if kind == "data-injection":
        return _injection(start, duration, g)
    points = _points(_LIVELY, tuple(SENSORS) if kind != "denial-of-service" else TAGS, g, whole=True)
    if kind == "timing":
        return Attack(kind, points, start, duration, delay_s=int(g.integers(120, 601)))
    if kind == "replay":
        return Attack(kind, points, start, duration, ago_s=min(duration, HISTORY_S))
    return Attack(kind, points, start, duration)


def _injection(start: int, duration: int, g: np.random.Generator) -> Attack:
    """One sensor, off by half of its range to all of it and half more; half of them slowly."""
    point = tuple(SENSORS)[int(g.integers(len(SENSORS)))]
    amount = span(point) * float(g.uniform(0.5, 1.5)) * (1 if g.random() < 0.5 else -1)
    if g.random() < 0.5:
        return Attack("data-injection", (point,), start, duration, slope=amount / duration)
    return Attack("data-injection", (point,), start, duration, offset=amount)


def _points(
    single: tuple[str, ...], several: tuple[str, ...], g: np.random.Generator, *, whole: bool = False
) -> tuple[str, ...]:
    """One point (half of the attacks), several of one stage (a quarter) or of two stages (a quarter).

    Args:
        single: where one point is drawn from; it is also one of several.
        several: where the others are drawn from.
        g: draws.
        whole: several means all of the stage.
    """
    first = single[int(g.integers(len(single)))]
    draw = g.random()
    if draw < 0.5:
        return (first,)
    stages = {stage_of(first)}
    if draw >= 0.75:
        stages.add(int(g.choice([s for s in range(1, 6) if s not in stages])))
    others = [tag for tag in several if stage_of(tag) in stages and tag != first]
    if not whole:
        others = [str(tag) for tag in g.permutation(others)[: int(g.integers(1, 4))]]
    return (first, *others)
