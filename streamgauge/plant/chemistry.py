"""What is in the water: conductivity, pH and redox potential from the dosing to the reverse osmosis. All ours.

Each quantity is mixed with the water that carries it: in the dosing mixer at once, in the tanks as they fill.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streamgauge.plant.conditions import Conditions
from streamgauge.plant.design import Design
from streamgauge.plant.stages import Water

_SALT, _ACID, _CHLORINE = 55.0, 1.3, 240.0  # what a running dosing pump adds in the end: uS/cm, pH (less), mV
_MIXING = (1 / 60, 1 / 45, 1 / 50)  # per second, while water flows
_RAW_PULL, _RAW_SHOCKS = 1 / 600, (0.06, 0.0015, 0.12)  # the raw water wanders, and comes back in ten minutes
_UV, _BISULPHITE, _REDUCING = 165.0, 60.0, 1 / 25  # fall of the redox potential in mV; per second
_RESPONSE = 1 / 12  # of the reverse osmosis' analysers, per second
_PASSAGE, _SEEPING = 0.042, 0.12  # of salt through the membrane: share with, and without permeate flowing


@dataclass(slots=True)
class Quality:
    """Conductivity `c` (uS/cm), pH `p` and redox potential `o` (mV) at the places of their analysers.

    Attributes:
        raw_c, raw_p, raw_o: how far the raw water is from its usual values.
        c2, p2, o2: after the dosing.
        c3, p3, o3: in T301; c4, p4, o4: in T401.
        o4r: after UV lamps and bisulphite.
        c5, p5, o5: at the membrane; salt: of the permeate.
    """

    c2: float
    p2: float
    o2: float
    c3: float
    p3: float
    o3: float
    c4: float
    p4: float
    o4: float
    o4r: float
    c5: float
    p5: float
    o5: float
    salt: float
    raw_c: float = 0.0
    raw_p: float = 0.0
    raw_o: float = 0.0


def usual_quality(design: Design) -> Quality:
    """Where the control holds it."""
    c, p, o = design.conductivity + 19.0, design.ph - 0.6, design.orp + 130.0
    return Quality(
        c2=c, p2=p, o2=o, c3=c, p3=p, o3=o, c4=c, p4=p, o4=o, o4r=245.0, c5=c, p5=p - 0.85, o5=220.0, salt=11.0
    )


def mix(
    q: Quality, w: Water, on: Mapping[str, bool], design: Design, around: Conditions, shocks: Sequence[float]
) -> None:
    """One second; `q` changes in place.

    Args:
        q: what is in the water.
        w: the water as it flows in this second.
        on: command of every actuator.
        design: raw water and sizes.
        around: daily pattern and wear.
        shocks: at least 3 standard normal numbers; they move the raw water.
    """
    q.raw_c += _RAW_SHOCKS[0] * shocks[0] - _RAW_PULL * q.raw_c
    q.raw_p += _RAW_SHOCKS[1] * shocks[1] - _RAW_PULL * q.raw_p
    q.raw_o += _RAW_SHOCKS[2] * shocks[2] - _RAW_PULL * q.raw_o
    _dose(q, w, on, design, around)
    if w.q201 > 0.0:
        share = w.q201 / (3.6 * design.area3 * max(w.h3, 50.0))
        q.c3 += (q.c2 - q.c3) * share
        q.p3 += (q.p2 - q.p3) * share
        q.o3 += (q.o2 - q.o3) * share
    filtrate = w.q301 - w.waste
    if filtrate > 0.0:
        share = filtrate / (3.6 * design.area4 * max(w.h4, 50.0))
        q.c4 += (q.c3 - q.c4) * share
        q.p4 += (q.p3 - q.p4) * share
        q.o4 += (q.o3 - q.o4) * share
    _reduce(q, w, on, around)


def _dose(q: Quality, w: Water, on: Mapping[str, bool], design: Design, around: Conditions) -> None:
    """The mixer of stage 2; without flow nothing moves in it."""
    if w.q201 <= 0.1:
        return
    full = design.transfer / w.q201  # the same dose in less water is more
    salt = _SALT * full if on["P201"] or on["P202"] else 0.0
    acid = _ACID * full if on["P203"] or on["P204"] else 0.0
    chlorine = _CHLORINE * full if on["P205"] or on["P206"] else 0.0
    q.c2 += (design.conductivity + 1.5 * around.warmth + q.raw_c + salt - q.c2) * _MIXING[0]
    q.p2 += (max(2.0, design.ph + 0.03 * around.warmth + q.raw_p - acid) - q.p2) * _MIXING[1]
    q.o2 += (min(950.0, design.orp + q.raw_o + chlorine) - q.o2) * _MIXING[2]


def _reduce(q: Quality, w: Water, on: Mapping[str, bool], around: Conditions) -> None:
    """Dechlorination, then the membrane."""
    if w.q401 > 0.1:
        fall = (_UV if on["UV401"] else 0.0) + (_BISULPHITE if on["P403"] or on["P404"] else 0.0)
        q.o4r += (q.o4 - fall - q.o4r) * _REDUCING
        concentrated = 1.0 + 0.25 * w.q504 / w.q401
        q.c5 += (q.c4 * concentrated - q.c5) * _RESPONSE
        q.p5 += (q.p4 - 0.85 - q.p5) * _RESPONSE
        q.o5 += (q.o4r - 25.0 - q.o5) * _RESPONSE
    passage = _PASSAGE * (1.0 + 0.008 * around.warmth) if w.q502 > 0.3 else _SEEPING
    q.salt += (q.c5 * passage - q.salt) * _RESPONSE
