"""What an attack shows: the plant beside its twin, the same plant at the same time without this attack."""

from __future__ import annotations

from streamgauge.plant.carrying import carried, carry
from streamgauge.plant.plant import Plant, Reading
from streamgauge.plant.tags import ACTUATORS, SENSORS

SHOWN_BY = 5.0
"""A reading shows an attack from so many standard deviations of its noise on."""


class Twins:
    """Follows a plant with scheduled attacks; each attack is set against a copy made just before it.

    Both draw the same noise, so that what differs is the attack's doing: its own falsehood or what the plant did
    because of it. One that differs may still be as usual as the other: a valve that opens a minute early opens all
    the same.
    """

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._twin: Plant | None = None

    def step(self) -> tuple[Reading, bool]:
        """The next record, and whether an attack is under way and shows in it."""
        state = self._plant.state
        coming = state.interference.coming
        if coming and coming[0].start == state.step:
            self._twin = carried(carry(self._plant))
            self._twin.state.schedule, self._twin.state.interference.coming = None, []
        reading = self._plant.step()
        if not reading.attacks:
            self._twin = None
        if self._twin is None:
            return reading, False
        return reading, _differ(reading, self._twin.step(), self._plant.design.noise)


def _differ(reading: Reading, other: Reading, noise: float) -> bool:
    mine, its = reading.values, other.values
    return any(mine[tag] != its[tag] for tag in ACTUATORS) or any(
        abs(mine[tag] - its[tag]) > SHOWN_BY * noise * sensor.noise for tag, sensor in SENSORS.items()
    )
