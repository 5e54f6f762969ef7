"""Attacks on the plant's control network, by class, and what each does to readings and commands.

The classes are those of Figure 2 of the paper on federated contrastive learning, with control-logic manipulation,
which its text names too. What exactly each does is not said there; it is ours:

- `command-injection`: the actuators obey the attacker instead of their controller.
- `data-injection`: readings are false by an amount, by a growing amount, or altogether.
- `replay`: readings of the minutes before the attack are shown again, over and over.
- `denial-of-service`: no messages pass: the last reading stays, actuators keep their last command.
- `timing`: messages arrive late, readings as well as commands.
- `control-logic`: a controller's set points are changed; every reading and command is genuine.

False, late and missing readings reach the controllers too, so the plant really leaves its course.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from streamgauge.errors import ConfigurationError
from streamgauge.plant.control import SetPoints
from streamgauge.plant.tags import ACTUATORS, TAGS, stage_of

HISTORY_S = 900
"""A replay or a delay reaches back at most so far."""
CLASSES = ("command-injection", "replay", "data-injection", "denial-of-service", "timing", "control-logic")
_SET_POINTS = {f.name for f in fields(SetPoints)}
_PARAMETERS = {
    "command-injection": {"on"},
    "replay": {"ago_s"},
    "data-injection": {"offset", "slope", "value"},
    "denial-of-service": set[str](),
    "timing": {"delay_s"},
    "control-logic": {"set"},
}


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack.

    Attributes:
        kind: one of `CLASSES`.
        points: tags that it hits; for `control-logic` the actuators whose logic it changes, for the label only.
        start: step of the stream at which it begins.
        duration: steps that it lasts, at least 1.
        on: command injection: what the actuators are told; None: the opposite of what they do at its begin.
        offset, slope: data injection: added at once, and more with every second; in the sensor's unit. Many points
            share them.
        value: data injection: shown instead of the reading; None: offset and slope.
        ago_s: replay: length of what is shown again, in seconds; None: as long as the attack.
        delay_s: timing: how late messages are.
        set: control logic: set point -> new value.
    """

    kind: str
    points: tuple[str, ...]
    start: int
    duration: int
    on: bool | None = None
    offset: float = 0.0
    slope: float = 0.0
    value: float | None = None
    ago_s: int | None = None
    delay_s: int = 120
    set: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        allowed: tuple[str, ...] = {"command-injection": ACTUATORS, "control-logic": ACTUATORS}.get(
            self.kind, TAGS
        )
        if self.kind not in CLASSES:
            raise ConfigurationError(f"attack class {self.kind!r}: use one of {', '.join(CLASSES)}")
        if not self.points or (wrong := [p for p in self.points if p not in allowed]):
            named = ", ".join(wrong) if self.points else "none"
            raise ConfigurationError(f"points of a {self.kind} attack: {named}; use some of {', '.join(allowed)}")
        if self.start < 0 or self.duration < 1:
            raise ConfigurationError(f"attack start={self.start} duration={self.duration}: from 0, and at least 1")
        if self.kind == "data-injection" and self.value is None and self.offset == 0.0 == self.slope:
            raise ConfigurationError("a data-injection attack needs offset, slope or value")
        if self.kind == "control-logic" and (not self.set or (unknown := sorted(self.set.keys() - _SET_POINTS))):
            named = ", ".join(unknown) if self.set else "none"
            raise ConfigurationError(
                f"set of a control-logic attack: {named}; use {', '.join(sorted(_SET_POINTS))}"
            )
        for name, seconds in (("ago_s", self.ago_s), ("delay_s", self.delay_s)):
            if seconds is not None and not 1 <= seconds <= HISTORY_S:
                raise ConfigurationError(f"attack {name}={seconds}: from 1 to {HISTORY_S}")

    @property
    def end(self) -> int:
        """First step after it."""
        return self.start + self.duration

    @property
    def stages(self) -> tuple[int, ...]:
        """The stages that it hits."""
        return tuple(sorted({stage_of(point) for point in self.points}))


def attack_from(values: Mapping[str, Any], now: int) -> Attack:
    """An attack from a file or a request: `class`, `points`, `duration_s`, `start_s` (default: now), parameters.

    Raises:
        ConfigurationError: an unknown key, a wrong type, or see `Attack`.
    """
    rest = dict(values)
    kind = rest.pop("class", None)
    points, start, duration = rest.pop("points", ()), rest.pop("start_s", now), rest.pop("duration_s", 300)
    if unknown := sorted(rest.keys() - _PARAMETERS.get(str(kind), set())):
        allowed = sorted(_PARAMETERS.get(str(kind), set()) | {"class", "points", "start_s", "duration_s"})
        raise ConfigurationError(f"attack {kind}: unknown {', '.join(unknown)}; use {', '.join(allowed)}")
    points = [points] if isinstance(points, str) else points
    try:
        return Attack(str(kind), tuple(map(str, points)), int(start), int(duration), **_typed(rest))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"attack {kind}: {error}") from None


def _typed(values: Mapping[str, Any]) -> dict[str, Any]:
    types: dict[str, type] = {"on": bool, "ago_s": int, "delay_s": int, "offset": float, "slope": float}
    typed: dict[str, Any] = {}
    for name, value in values.items():
        if name == "set":
            typed[name] = {str(key): float(number) for key, number in value.items()}
        else:
            typed[name] = types.get(name, float)(value)
    return typed
