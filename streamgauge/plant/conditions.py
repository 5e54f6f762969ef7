"""What acts on the plant from outside: the time of day and wear. All numbers are ours."""

from __future__ import annotations

from math import cos, pi
from typing import NamedTuple

from streamgauge.plant.design import Design

DAY_S = 86_400.0
SERVICE_DAYS = 90.0
"""Pumps, membrane and analysers are made good again after so many days."""


class Conditions(NamedTuple):
    """Factors around 1, and offsets around 0.

    Attributes:
        warmth: the daily pattern, -1 at night to 1 at the peak hour.
        supply: pressure of the raw water.
        demand: what consumers take.
        pumps: what wear left of the pumps' capacity, 1 is new.
        membrane: resistance of the reverse osmosis, 1 is new.
        worn: time since the last service, 0 to 1.
    """

    warmth: float
    supply: float
    demand: float
    pumps: float
    membrane: float
    worn: float


def conditions_at(t: float, design: Design) -> Conditions:
    """The conditions at `t`, seconds of event time since the epoch (UTC is the plant's time of day)."""
    warmth = cos(2 * pi * (t / DAY_S - design.peak_hour / 24))
    worn = t / DAY_S % SERVICE_DAYS / SERVICE_DAYS
    return Conditions(
        warmth=warmth,
        supply=1.0 - 0.005 * warmth,  # others draw from the same main
        demand=1.0 + 0.1 * warmth,
        pumps=1.0 - 0.02 * worn,
        membrane=1.0 + 0.06 * worn,
        worn=worn,
    )
