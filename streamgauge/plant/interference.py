"""Running attacks: between the sensors and the controllers, and between the controllers and the actuators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from streamgauge.plant.attacks import HISTORY_S, Attack
from streamgauge.plant.control import SetPoints
from streamgauge.plant.tags import ACTUATORS

Record = dict[str, int | float]
"""Tag -> value; states are whole numbers. A record that was handed on is never changed."""
Commands = dict[str, bool]
_ACTUATORS = frozenset(ACTUATORS)
T = TypeVar("T")


@dataclass(slots=True)
class Running:
    """An attack under way.

    Attributes:
        attack: what it does.
        tape: what is shown again, records of the points only.
        told: command that each actuator gets.
    """

    attack: Attack
    tape: list[Record] = field(default_factory=list)
    told: Commands = field(default_factory=dict)


@dataclass(slots=True)
class Interference:
    """All attacks of a plant: those to come, those under way, and the past that they draw from.

    Attributes:
        coming: attacks that have not begun, by start.
        running: attacks under way, the oldest first.
        sent: what sensors and actuators sent in the last `HISTORY_S` seconds or more, as it was before any attack.
        decided: what the controllers commanded, the same.
    """

    coming: list[Attack] = field(default_factory=list)
    running: list[Running] = field(default_factory=list)
    sent: list[Record] = field(default_factory=list)
    decided: list[Commands] = field(default_factory=list)

    def add(self, attack: Attack) -> None:
        """An attack to come."""
        self.coming.append(attack)
        self.coming.sort(key=lambda a: a.start)

    def turn(self, step: int) -> None:
        """End what is over at this step, begin what is due. Call it once a step, before the others."""
        if self.running:
            self.running = [r for r in self.running if r.attack.end > step]
        while self.coming and self.coming[0].start <= step:
            attack = self.coming.pop(0)
            if attack.end > step and self.sent:
                self.running.append(self._begun(attack))

    def _begun(self, attack: Attack) -> Running:
        running = Running(attack)
        if attack.kind == "replay":
            seconds = min(attack.ago_s or attack.duration, HISTORY_S, len(self.sent))
            running.tape = [{p: record[p] for p in attack.points} for record in self.sent[-seconds:]]
        if attack.kind == "command-injection":
            now = self.decided[-1]
            running.told = {p: not now[p] if attack.on is None else attack.on for p in attack.points}
        if attack.kind == "denial-of-service":
            running.tape = [{p: self.sent[-1][p] for p in attack.points}]
            running.told = {p: self.decided[-1][p] for p in attack.points if p in _ACTUATORS}
        return running

    def received(self, step: int, sent: Record) -> Record:
        """What controllers and historian get of a record; `sent` itself is kept for attacks to come."""
        _remember(self.sent, sent)
        if not self.running:
            return sent
        record = dict(sent)
        for running in self.running:
            self._falsify(running, step - running.attack.start, record)
        return record

    def _falsify(self, running: Running, elapsed: int, record: Record) -> None:
        attack = running.attack
        if attack.kind == "data-injection":
            for point in attack.points:
                shown = record[point] + attack.offset + attack.slope * elapsed
                record[point] = round(shown if attack.value is None else attack.value, 4)
        elif attack.kind == "replay":
            record.update(running.tape[elapsed % len(running.tape)])
        elif attack.kind == "denial-of-service":
            record.update((p, v) for p, v in running.tape[0].items() if p not in _ACTUATORS)
        elif attack.kind == "timing":
            late = self._late(self.sent, attack, elapsed)
            record.update((p, late[p]) for p in attack.points if p not in _ACTUATORS)

    def obeyed(self, step: int, decided: Commands) -> Commands:
        """What the actuators get of the controllers' commands; `decided` itself is kept."""
        _remember(self.decided, decided)
        if not self.running:
            return decided
        commands = dict(decided)
        for running in self.running:
            commands.update(running.told)
            if running.attack.kind == "timing":
                late = self._late(self.decided, running.attack, step - running.attack.start)
                commands.update((p, late[p]) for p in running.attack.points if p in _ACTUATORS)
        return commands

    @staticmethod
    def _late(past: list[T], attack: Attack, elapsed: int) -> T:
        """First nothing arrives for `delay_s`, then what was sent that long ago."""
        back = min(attack.delay_s, elapsed + 1, len(past) - 1)
        return past[-1 - back]

    def set_points(self, normal: SetPoints) -> SetPoints:
        """The controllers' set points now."""
        changes: Mapping[str, float] = {
            name: value for running in self.running for name, value in running.attack.set.items()
        }
        return replace(normal, **changes) if changes else normal


def _remember(past: list[T], newest: T) -> None:
    past.append(newest)
    if len(past) >= 2 * HISTORY_S:
        del past[:-HISTORY_S]
