"""The water: tanks, pumps, valves and membranes of the six stages, with mass balances that hold exactly.

Stage 1 stores raw water (T101); stage 2 doses it on its way; stage 3 stores it (T301) and filters it; stage 4
stores the filtrate (T401) and takes the chlorine out; stage 5 is the reverse osmosis; stage 6 stores the permeate,
washes the filter with it and delivers it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streamgauge.plant.conditions import Conditions
from streamgauge.plant.design import STEP_S, SUCTION_MM, TOP_MM, TRAVEL_S, Design
from streamgauge.plant.tags import MOVING, OFF, ON, VALVES

_LAG = 0.4  # share of the way to its new value that a flow goes in a step
_BOTH_PUMPS = 1.3  # two pumps in parallel move so much more than one
_RECOVERY = 0.63  # share of what flows over the membrane that becomes permeate
_RETURN = 0.18  # recirculated reject, as a share of the feed
_UNBOOSTED = 0.35  # what passes the membrane's housing without the boost pump
_FOULING_PER_M3 = 0.5  # rise of the filter's resistance by what it filtered; a backwash takes it off
_CLEANED_PER_S = 0.08
_MM = 1.0 / 3.6  # m3/h in one second over one m2 is so many mm


@dataclass(slots=True)
class Water:
    """Where the water is; all that the next second depends on, save the chemistry.

    Attributes:
        h1, h3, h4, h6: levels of T101, T301, T401 and the permeate tank, in mm.
        q101 to q601: flows, in m3/h; `waste` is filtrate that goes to the drain, `product` what is delivered.
        valves: position of each motorised valve, 0 closed to 1 open.
        fouling: of the ultrafiltration, 1 is clean.
        taken, drained, delivered, spilled: m3 since the beginning, into the plant and out of it.
    """

    h1: float
    h3: float
    h4: float
    h6: float
    valves: dict[str, float]
    q101: float = 0.0
    q201: float = 0.0
    q301: float = 0.0
    waste: float = 0.0
    q401: float = 0.0
    q502: float = 0.0
    q503: float = 0.0
    q504: float = 0.0
    q601: float = 0.0
    product: float = 0.0
    fouling: float = 1.0
    taken: float = 0.0
    drained: float = 0.0
    delivered: float = 0.0
    spilled: float = 0.0

    def stored(self, design: Design) -> float:
        """Water in all tanks, in m3."""
        d = design
        return 1e-3 * (self.h1 * d.area1 + self.h3 * d.area3 + self.h4 * d.area4 + self.h6 * d.area6)


def valve_state(position: float) -> int:
    """How SWaT writes a valve's position."""
    return ON if position >= 1.0 else OFF if position <= 0.0 else MOVING


def _toward(flow: float, target: float) -> float:
    flow += (target - flow) * _LAG
    return flow if flow > 1e-4 else 0.0


def _pumps(first: bool, second: bool, level: float) -> float:
    """How much of one pump's flow runs; none where the tank's outlet draws air."""
    if level <= SUCTION_MM:
        return 0.0
    return _BOTH_PUMPS if first and second else 1.0 if first or second else 0.0


def move_valves(water: Water, commands: Mapping[str, bool]) -> bool:
    """One second of the motorised valves; whether any moved."""
    positions, moved = water.valves, False
    for valve in VALVES:
        position, end = positions[valve], 1.0 if commands[valve] else 0.0
        if position != end:
            way = STEP_S / TRAVEL_S
            positions[valve] = min(end, position + way) if end > position else max(end, position - way)
            moved = True
    return moved


def move_water(w: Water, on: Mapping[str, bool], design: Design, around: Conditions) -> None:
    """One second of the water; `w` changes in place: this runs for every record.

    Args:
        w: the water; its valves stand where `move_valves` put them.
        on: command of every actuator.
        design: sizes.
        around: supply, demand and wear.
    """
    valve, worn = w.valves, around.pumps
    w.q101 = _toward(w.q101, design.supply * around.supply * valve["MV101"])
    w.q201 = _toward(w.q201, design.transfer * worn * valve["MV201"] * _pumps(on["P101"], on["P102"], w.h1))
    forward, aside = valve["MV302"], valve["MV304"]
    drive = design.filtration * worn * _pumps(on["P301"], on["P302"], w.h3) * max(forward, aside)
    w.q301 = _toward(w.q301, drive * (1.02 - 0.02 * w.fouling))
    w.waste = w.q301 * aside / (forward + aside) if forward + aside > 0.0 else 0.0
    boosted = on["P501"] or on["P502"]
    feed = design.feed * worn * _pumps(on["P401"], on["P402"], w.h4) * (1.0 if boosted else _UNBOOSTED)
    w.q401 = _toward(w.q401, feed)
    w.q504 = _toward(w.q504, _RETURN * w.q401) if boosted else 0.0
    over = w.q401 + w.q504
    w.q502 = min(_toward(w.q502, _RECOVERY * over if boosted else 0.0), over)
    w.q503 = over - w.q502
    wash = min(valve["MV301"], valve["MV303"]) * _pumps(on["P602"], False, w.h6)
    w.q601 = _toward(w.q601, design.backwash * wash)
    w.product = _toward(w.product, design.delivery * around.demand * _pumps(on["P601"], on["P603"], w.h6))
    _balance(w, design)
    w.fouling += _FOULING_PER_M3 * w.q301 / 3600
    if w.q601 > 0.5 * design.backwash:
        w.fouling += (1.0 - w.fouling) * _CLEANED_PER_S


def _balance(w: Water, design: Design) -> None:
    """What flows in and out moves the levels; nothing is lost."""
    filtrate, reject = w.q301 - w.waste, w.q503 - w.q504
    w.h1 += _MM * (w.q101 - w.q201) / design.area1
    w.h3 += _MM * (w.q201 - w.q301) / design.area3
    w.h4 += _MM * (filtrate - w.q401) / design.area4
    w.h6 += _MM * (w.q502 - w.q601 - w.product) / design.area6
    w.taken += w.q101 / 3600
    w.drained += (w.waste + reject + w.q601) / 3600
    w.delivered += w.product / 3600
    if w.h1 > TOP_MM or w.h3 > TOP_MM or w.h4 > TOP_MM or w.h6 > TOP_MM:
        _spill(w, design)


def _spill(w: Water, design: Design) -> None:
    for name, area in (("h1", design.area1), ("h3", design.area3), ("h4", design.area4), ("h6", design.area6)):
        above = getattr(w, name) - TOP_MM
        if above > 0.0:
            w.spilled += 1e-3 * above * area
            setattr(w, name, TOP_MM)
