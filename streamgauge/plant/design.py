"""Sizes of a plant: tanks, pumps and raw water. All numbers are ours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STEP_S = 1.0
"""Seconds of one process step."""
TOP_MM = 1300.0
"""Height of every tank; what comes above it is spilled."""
SUCTION_MM = 100.0
"""Below this level a tank's outlet draws air and its pumps move nothing."""
TRAVEL_S = 7.0
"""Time a motorised valve takes from closed to open."""


@dataclass(frozen=True, slots=True)
class Design:
    """One plant.

    Attributes:
        area1, area3, area4, area6: floor of the tanks T101, T301, T401 and of the permeate tank, in m2.
        supply, transfer, filtration, feed, backwash, delivery: flows in m3/h of raw water through MV101, of P101
            or P102, P301 or P302, P401 or P402, P602 and P601.
        conductivity, ph, orp: of the raw water, in uS/cm, pH and mV.
        pressure: what the RO membrane needs for the normal permeate, in kPa.
        noise: factor of all sensors' noise.
        peak_hour: hour of the day at which daily patterns are highest.
    """

    area1: float = 0.8
    area3: float = 0.45
    area4: float = 0.45
    area6: float = 0.7
    supply: float = 2.8
    transfer: float = 2.5
    filtration: float = 2.25
    feed: float = 1.72
    backwash: float = 1.75
    delivery: float = 1.9
    conductivity: float = 236.0
    ph: float = 8.9
    orp: float = 300.0
    pressure: float = 208.0
    noise: float = 1.0
    peak_hour: float = 15.0


def design_of(seed: int) -> Design:
    """A plant a little unlike the others: sizes within 2 %, pumps and water within 0.5 %, drawn by `seed`.

    Sites of one federation run the same kind of plant, not the same plant.
    """
    drawn = np.random.default_rng([seed, 1]).uniform(-1.0, 1.0, 14).tolist()
    base = Design()
    sizes = {name: getattr(base, name) * (1 + 0.02 * drawn.pop()) for name in ("area1", "area3", "area4", "area6")}
    rest = ("supply", "transfer", "filtration", "feed", "backwash", "delivery", "conductivity", "orp", "pressure")
    others = {name: getattr(base, name) * (1 + 0.005 * drawn.pop()) for name in rest}
    return Design(**sizes, **others, peak_hour=base.peak_hour + drawn.pop())
