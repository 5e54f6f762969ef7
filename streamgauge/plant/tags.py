"""The 51 tags of SWaT in its order: which stage, sensor or actuator, and how a state is written."""

from __future__ import annotations

from typing import NamedTuple

MOVING, OFF, ON = 0, 1, 2
"""How SWaT writes a state: a valve is moving, closed or open; a pump is off (1) or on (2)."""


class Sensor(NamedTuple):
    """What a sensor shows. All numbers are ours.

    Attributes:
        noise: standard deviation of its noise, in its unit.
        low, high: range in normal operation; what "far off" means to an attack.
        decimals: digits after the point that it sends.
    """

    noise: float
    low: float
    high: float
    decimals: int


_FLOW_DECIMALS = 4
SENSORS: dict[str, Sensor] = {
    "FIT101": Sensor(0.012, 0.0, 2.9, _FLOW_DECIMALS),
    "LIT101": Sensor(0.6, 490.0, 820.0, 3),
    "AIT201": Sensor(0.25, 245.0, 265.0, 3),
    "AIT202": Sensor(0.01, 8.1, 8.5, 4),
    "AIT203": Sensor(0.8, 410.0, 450.0, 2),
    "FIT201": Sensor(0.01, 0.0, 2.6, _FLOW_DECIMALS),
    "DPIT301": Sensor(0.12, 0.0, 25.0, 3),
    "FIT301": Sensor(0.01, 0.0, 2.3, _FLOW_DECIMALS),
    "LIT301": Sensor(0.7, 790.0, 1010.0, 3),
    "AIT401": Sensor(0.35, 140.0, 155.0, 2),
    "AIT402": Sensor(1.0, 235.0, 260.0, 2),
    "FIT401": Sensor(0.006, 1.6, 1.8, _FLOW_DECIMALS),
    "LIT401": Sensor(0.7, 790.0, 1010.0, 3),
    "AIT501": Sensor(0.015, 7.3, 7.6, 4),
    "AIT502": Sensor(1.0, 210.0, 235.0, 2),
    "AIT503": Sensor(0.6, 255.0, 275.0, 3),
    "AIT504": Sensor(0.08, 9.0, 13.0, 3),
    "FIT501": Sensor(0.005, 1.6, 1.8, _FLOW_DECIMALS),
    "FIT502": Sensor(0.005, 1.2, 1.35, _FLOW_DECIMALS),
    "FIT503": Sensor(0.004, 0.68, 0.78, _FLOW_DECIMALS),
    "FIT504": Sensor(0.002, 0.28, 0.34, _FLOW_DECIMALS),
    "PIT501": Sensor(0.5, 235.0, 265.0, 3),
    "PIT502": Sensor(0.02, 1.0, 1.4, 4),
    "PIT503": Sensor(0.5, 175.0, 205.0, 3),
    "FIT601": Sensor(0.003, 0.0, 1.8, _FLOW_DECIMALS),
}
TAGS: tuple[str, ...] = (
    *("FIT101", "LIT101", "MV101", "P101", "P102"),
    *("AIT201", "AIT202", "AIT203", "FIT201", "MV201", "P201", "P202", "P203", "P204", "P205", "P206"),
    *("DPIT301", "FIT301", "LIT301", "MV301", "MV302", "MV303", "MV304", "P301", "P302"),
    *("AIT401", "AIT402", "FIT401", "LIT401", "P401", "P402", "P403", "P404", "UV401"),
    *("AIT501", "AIT502", "AIT503", "AIT504", "FIT501", "FIT502", "FIT503", "FIT504"),
    *("P501", "P502", "PIT501", "PIT502", "PIT503"),
    *("FIT601", "P601", "P602", "P603"),
)
"""All tags, in the order of SWaT's files."""
ACTUATORS: tuple[str, ...] = tuple(tag for tag in TAGS if tag not in SENSORS)
VALVES: tuple[str, ...] = tuple(tag for tag in ACTUATORS if tag.startswith("MV"))
"""Motorised valves: they take a while to open and to close; all other actuators switch at once."""


def stage_of(tag: str) -> int:
    """The stage, 1 to 6, that a tag belongs to: the first digit of its number.

    >>> stage_of("FIT101"), stage_of("P603")
    (1, 6)
    """
    return int(tag.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")[0])


def span(tag: str) -> float:
    """Width of a sensor's normal range, in its unit."""
    sensor = SENSORS[tag]
    return sensor.high - sensor.low
