"""The control logic: what each stage's controller commands from the readings it gets.

The couplings are those of the public descriptions: a stage's pump runs while the next tank wants water and its own
has some; dosing follows the analysers; the filter is washed by the clock or when it is clogged. Numbers are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streamgauge.plant.tags import ACTUATORS

Readings = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class SetPoints:
    """What the controllers hold; levels in mm. An attack on the control logic changes them.

    Attributes:
        t101_low, t101_high: MV101 opens below, closes above.
        t301_low, t301_high: P101 and MV201 start below, stop above.
        t401_low, t401_high: P301 and MV302 start below, stop above.
        empty: a tank below it gives nothing.
        salt_low to bisulphite_high: dosing pumps start at the first of two, stop at the other.
        wash_every, wash_for, drain_for: the filter's washing, in seconds.
        clogged: DPIT301 that starts a wash at once, in kPa.
        uv: whether the UV lamps may burn.
        pressure: PIT501 at which the RO stops, in kPa.
    """

    t101_low: float = 500.0
    t101_high: float = 800.0
    t301_low: float = 800.0
    t301_high: float = 1000.0
    t401_low: float = 800.0
    t401_high: float = 1000.0
    empty: float = 250.0
    salt_low: float = 250.0
    salt_high: float = 260.0
    acid_low: float = 8.2
    acid_high: float = 8.4
    chlorine_low: float = 420.0
    chlorine_high: float = 440.0
    bisulphite_low: float = 240.0
    bisulphite_high: float = 250.0
    wash_every: float = 1800.0
    wash_for: float = 45.0
    drain_for: float = 20.0
    clogged: float = 40.0
    uv: float = 1.0
    pressure: float = 330.0


NORMAL = SetPoints()


@dataclass(slots=True)
class Controllers:
    """What the controllers remember.

    Attributes:
        commands: last command of every actuator, True is on or open.
        filling: whether T401 wants water.
        filtered_s: since the last wash.
        washing_s: since its begin; negative: none.
    """

    commands: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(ACTUATORS, False))
    filling: bool = False
    filtered_s: float = 0.0
    washing_s: float = -1.0


def _between(was_on: bool, value: float, on_below: float, off_above: float) -> bool:
    """On below the first limit, off above the second, as before between them."""
    return value < off_above if was_on else value < on_below


def decide(c: Controllers, r: Readings, s: SetPoints, permeate: tuple[bool, bool]) -> dict[str, bool]:
    """The commands of this second; `c` remembers them.

    Args:
        c: the controllers; they change in place.
        r: readings as they arrive.
        s: set points.
        permeate: level switches of the permeate tank: (is low, is high); SWaT has no level sensor there.

    Returns:
        Command of every actuator, a new dict. Standby pumps stay off.
    """
    was = c.commands
    on = dict(was)
    on["MV101"] = _between(was["MV101"], r["LIT101"], s.t101_low, s.t101_high)
    on["MV201"] = _between(was["MV201"], r["LIT301"], s.t301_low, s.t301_high)
    on["P101"] = on["MV201"] and r["LIT101"] > s.empty
    _dosing(on, was, r, s)
    _filter(c, on, r, s)
    runs = r["LIT401"] > s.empty
    on["P401"] = runs
    flows = r["FIT401"] > 0.4
    on["UV401"] = flows and s.uv > 0.5
    on["P403"] = flows and not _between(not was["P403"], r["AIT402"], s.bisulphite_low, s.bisulphite_high)
    on["P501"] = runs and flows and r["PIT501"] < s.pressure
    low, high = permeate
    on["P601"] = high or (was["P601"] and not low)
    c.commands = on
    return dict(on)


def _dosing(on: dict[str, bool], was: Mapping[str, bool], r: Readings, s: SetPoints) -> None:
    """Stage 2: only while water flows past."""
    flows = r["FIT201"] > 0.5
    on["P201"] = flows and _between(was["P201"], r["AIT201"], s.salt_low, s.salt_high)
    on["P203"] = flows and not _between(not was["P203"], r["AIT202"], s.acid_low, s.acid_high)
    on["P205"] = flows and _between(was["P205"], r["AIT203"], s.chlorine_low, s.chlorine_high)


def _filter(c: Controllers, on: dict[str, bool], r: Readings, s: SetPoints) -> None:
    """Stages 3 and 6: filter while T401 wants water; wash by the clock or when clogged."""
    wanted = c.filling = _between(c.filling, r["LIT401"], s.t401_low, s.t401_high)
    c.filtered_s += 1.0
    if c.washing_s < 0.0 and (c.filtered_s >= s.wash_every or r["DPIT301"] > s.clogged):
        c.washing_s = 0.0
    washing = c.washing_s >= 0.0
    backward = washing and c.washing_s < s.wash_for
    draining = washing and not backward
    on["P301"] = ((wanted and not washing) or draining) and r["LIT301"] > s.empty
    on["MV302"] = wanted and not washing
    on["MV301"] = on["MV303"] = backward
    on["P602"] = backward
    on["MV304"] = draining
    if washing:
        c.washing_s += 1.0
        if c.washing_s >= s.wash_for + s.drain_for:
            c.washing_s, c.filtered_s = -1.0, 0.0
