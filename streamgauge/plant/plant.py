"""A plant, second by second: sensors, attacks, controllers, actuators, water."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamgauge.plant.attacks import Attack
from streamgauge.plant.chemistry import Quality, mix, usual_quality
from streamgauge.plant.conditions import conditions_at
from streamgauge.plant.control import NORMAL, Controllers, decide
from streamgauge.plant.design import Design, design_of
from streamgauge.plant.interference import Interference, Record
from streamgauge.plant.schedule import Schedule
from streamgauge.plant.sensors import Noise, read, truth
from streamgauge.plant.stages import Water, move_valves, move_water, valve_state
from streamgauge.plant.tags import OFF, ON, SENSORS, TAGS, VALVES

SETTLE_S = 3600
"""A new plant runs so long before its stream begins: the beginning is an hour like any other."""
_PERMEATE_LOW_MM, _PERMEATE_HIGH_MM = 500.0, 800.0
_FIRST_SHOCK = len(SENSORS)


class Reading(NamedTuple):
    """One record.

    Attributes:
        t: event time, in seconds since the epoch.
        values: tag -> value, in the order of `TAGS`; the plant remembers it, so leave it as it is.
        attacks: those under way; none: the record is normal.
    """

    t: float
    values: Record
    attacks: tuple[Attack, ...]

    @property
    def attack_class(self) -> str:
        """Classes of the attacks under way, joined by `+`; empty without one."""
        return "+".join(sorted({attack.kind for attack in self.attacks}))

    @property
    def points(self) -> tuple[str, ...]:
        """Tags that the attacks under way hit."""
        return tuple(dict.fromkeys(point for attack in self.attacks for point in attack.points))


@dataclass(slots=True)
class PlantState:
    """All that the next record depends on, save seed and start; see `streamgauge.plant.carrying`.

    Attributes:
        step: of the next record, 0 is the stream's first.
        water, quality, controllers, interference: see there.
        states: all tags in order; the actuators' as they are.
        obeyed: command that every actuator follows.
        schedule: of attacks to come; None: only those ordered come.
        scheduled: attacks taken from the schedule so far.
        calm_from: step at which the last of them ends.
    """

    step: int
    water: Water
    quality: Quality
    controllers: Controllers
    interference: Interference
    states: Record
    obeyed: dict[str, bool]
    schedule: Schedule | None = None
    scheduled: int = 0
    calm_from: int = 0


class Plant:
    """An endless stream of records. Same arguments, same stream, however it is read.

    A record takes about 30 us on one core.

    Args:
        seed: of the plant, its noise and its design.
        start_s: event time of the first record, in seconds since the epoch.
        schedule: attacks to come by themselves; more can come by `attack` at any time.
        state: where an earlier plant of the same seed and start stood, its schedule with it; None: a new one.
            It is taken over.
    """

    def __init__(
        self,
        seed: int,
        start_s: float = 0.0,
        schedule: Schedule | None = None,
        state: PlantState | None = None,
    ) -> None:
        self.seed, self.start_s = seed, start_s
        self.design = design_of(seed)
        self._noise = Noise(seed, self.design.noise)
        self.state = state or _new_state(self.design, seed)
        self.state.schedule = self.state.schedule or schedule
        while self.state.step < 0:
            self.step()

    def __iter__(self) -> Iterator[Reading]:
        while True:
            yield self.step()

    def attack(self, attack: Attack) -> None:
        """Begin an attack at its start, or with the next record where that is past."""
        late = max(0, self.state.step - attack.start)
        self.state.interference.add(replace(attack, start=attack.start + late))

    def begin_schedule(self, schedule: Schedule) -> None:
        """Attacks by this schedule, if there is none yet."""
        self.state.schedule = self.state.schedule or schedule

    def step(self) -> Reading:
        """The next record; then a second passes."""
        s = self.state
        step, water, attacks = s.step, s.water, s.interference
        noise = self._noise.at(step + SETTLE_S)
        t = self.start_s + step
        around = conditions_at(t, self.design)
        if s.schedule is not None and s.calm_from <= step:
            self._take_scheduled(s.schedule)
        attacks.turn(step)
        shown = read(truth(water, s.quality, self.design, around), noise, around)
        sent = s.states | shown
        received = attacks.received(step, sent)
        permeate = water.h6 < _PERMEATE_LOW_MM, water.h6 > _PERMEATE_HIGH_MM
        decided = decide(s.controllers, received, attacks.set_points(NORMAL), permeate)
        commands = attacks.obeyed(step, decided)
        if move_valves(water, commands) or commands != s.obeyed:
            s.states, s.obeyed = _states(commands, water), commands
        move_water(water, commands, self.design, around)
        mix(s.quality, water, commands, self.design, around, noise[_FIRST_SHOCK:])
        s.step += 1
        return Reading(t, received, tuple(running.attack for running in attacks.running))

    def _take_scheduled(self, schedule: Schedule) -> None:
        """The last scheduled attack is over: put the next one among those to come."""
        s = self.state
        attack = schedule.attack(s.scheduled, s.calm_from)
        s.scheduled, s.calm_from = s.scheduled + 1, attack.end
        self.attack(attack)


def _new_state(design: Design, seed: int) -> PlantState:
    """Tanks somewhere between their set points, drawn by `seed`, an hour before the first record."""
    h1, h3, h4, h6 = np.random.default_rng([seed, 5]).uniform(0.0, 1.0, 4).tolist()
    water = Water(520 + 260 * h1, 820 + 160 * h3, 820 + 160 * h4, 520 + 260 * h6, dict.fromkeys(VALVES, 0.0))
    controllers = Controllers()
    obeyed = controllers.commands
    return PlantState(
        -SETTLE_S, water, usual_quality(design), controllers, Interference(), _states(obeyed, water), obeyed
    )


def _states(obeyed: dict[str, bool], water: Water) -> Record:
    """All tags in order, actuators as they are, sensors 0."""
    states: Record = dict.fromkeys(TAGS, 0.0)
    states |= {tag: ON if on else OFF for tag, on in obeyed.items()}
    return states | {tag: valve_state(position) for tag, position in water.valves.items()}


def matrix(readings: list[Reading]) -> NDArray[np.float64]:
    """(n, 51) values of records, columns in the order of `TAGS`."""
    return np.array([list(reading.values.values()) for reading in readings])
