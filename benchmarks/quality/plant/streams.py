"""What the simulated plants send: hours without attacks each, then hours with attacks of every class."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.plant.twins import Twins
from streamgauge.plant.attacks import CLASSES
from streamgauge.plant.plant import Plant
from streamgauge.plant.schedule import Schedule
from streamgauge.profiles.profile import load_profile

Matrix = NDArray[np.float32]
Bools = NDArray[np.bool_]
DAY_S = 86_400
EVERY_S = 10
"""A plant sends a record a second; so many are one here, so that a run takes seconds."""
NORMAL_HOURS, HOURS = 12, 6
"""Without attacks, and then with them: for what is learned on the former alone."""
EARLY_HOURS, STREAM_HOURS = 6, 18
"""The same, for what learns on while the attacks come."""
BEGIN_S = 15 * 3600
"""Time of day of the first record, at which daily patterns are highest: twelve hours show all of their range."""
HOUR = 3600 // EVERY_S
PLANTS = 3
BLOCK = 1800 // EVERY_S
"""Records of half an hour, which is given to one purpose as a whole: neighbours in time are alike."""
PURPOSES = ("train", "train", "statistics", "train", "train", "line")
"""Of half an hour after another: train, give the statistics under a candidate, or set the alarm line."""
NORMAL = -1


@dataclass(frozen=True, eq=False)
class Stream:
    """Some hours of one plant, in order of time.

    Attributes:
        name: of the plant.
        x: (n, 51) as the profile encodes them, not standardised.
        kind: (n,) index of the attack's class in `CLASSES`, `NORMAL` without one.
        number: (n,) of the attack, from 0; -1 without one.
        shows: (n,) True where the record differs from what the plant would have sent without the attack.
        normal: records of the part without attacks, the first ones.
    """

    name: str
    x: Matrix
    kind: NDArray[np.int64]
    number: NDArray[np.int64]
    shows: Bools
    normal: int

    @property
    def truth(self) -> Bools:
        """(n,) True where an attack is under way."""
        return np.asarray(self.kind != NORMAL)

    @property
    def purpose(self) -> NDArray[np.str_]:
        """(n,) what each half hour is for, if it is learned from at all."""
        return np.array(PURPOSES)[np.arange(len(self.kind)) // BLOCK % len(PURPOSES)]

    def windows(self, rows: NDArray[np.int64], steps: int) -> Matrix:
        """(m, steps * 51): what ends with each of these rows, oldest first; the first stands for earlier ones."""
        records: Matrix = self.x[np.maximum(rows[:, None] + np.arange(1 - steps, 1), 0)]
        return records.reshape(len(rows), steps * self.x.shape[1])

    def within(self, chosen: Bools, steps: int) -> NDArray[np.int64]:
        """Those of the chosen rows whose whole window lies in one half hour."""
        return np.flatnonzero(chosen & (np.arange(len(self.kind)) % BLOCK >= steps - 1))


@lru_cache(maxsize=10)
def plants(
    seed: int, count: int = PLANTS, normal: int = NORMAL_HOURS * HOUR, attacked: int = HOURS * HOUR
) -> tuple[Stream, ...]:
    """The federation's plants: sizes, noise, attacks by `seed`; worn by 5 to 69 days since the last service."""
    return tuple(_stream(100 * seed + i, 5.0 + 30.0 * i + seed, normal, attacked) for i in range(count))


def _stream(seed: int, worn_days: float, normal: int, attacked: int) -> Stream:
    plant = Plant(seed, worn_days * DAY_S + BEGIN_S, Schedule(seed, normal * EVERY_S))
    schema = load_profile("plant").schema
    twins = Twins(plant)
    rows, kinds, numbers, shows = [], [], [], []
    for step in range((normal + attacked) * EVERY_S):
        reading, shown = twins.step()
        if step % EVERY_S:
            continue
        under_way = reading.attacks
        rows.append(list(reading.values.values()))
        kinds.append(CLASSES.index(under_way[0].kind) if under_way else NORMAL)
        numbers.append(plant.state.scheduled - 1 if under_way else -1)
        shows.append(shown)
    encoded = schema.encode(np.array(rows), np.empty((len(rows), 0), np.int64))
    return Stream(f"plant-{seed}", encoded, np.array(kinds), np.array(numbers), np.array(shows), normal)
