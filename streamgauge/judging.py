"""How a node judges a candidate: on held-out records, against seeded corruptions of them.

A model that reconstructs everything (copies its input) has a low loss and an AUC of 0.5 here, and is rejected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from streamgauge.detectors.base import Detector
from streamgauge.evaluation.corruptions import corrupt
from streamgauge.evaluation.metrics import auc
from streamgauge.federation.kinds import KINDS
from streamgauge.state import ModelState, statistics_tensors

if TYPE_CHECKING:
    from streamgauge.detectors.base import Statistics, Weights

CHUNK = 1024
"""Rows scored at once; bounds the memory of a pass over the hold-out."""
MIN_CONFIRMED = 8
"""Confirmed attack records below which they say too little to count in a vote."""
CONFIRMED_SHARE = 0.2
"""Of the abnormal records in a vote's AUC, by weight: as much as each of the four kinds of corruption."""


@dataclass(frozen=True)
class VotePolicy:
    """What a node demands of a candidate.

    Attributes:
        auc_loss: how much of the release's AUC may be lost.
        auc_floor: below this AUC a candidate is rejected whatever the release does.
        false_alarm_rate: share of held-out records above the recalibrated threshold that is always allowed.
        false_alarm_growth: beyond it, at most this multiple of the release's share.
    """

    auc_loss: float = 0.02
    auc_floor: float = 0.6
    false_alarm_rate: float = 0.05
    false_alarm_growth: float = 1.5


@dataclass(frozen=True)
class Judgement:
    """A vote's content."""

    approve: bool
    reason: str
    auc_candidate: float
    auc_release: float
    false_alarm_rate: float


@dataclass(frozen=True)
class HeldOut:
    """Held-out rows of one node.

    Attributes:
        x: (n, window * width) float32, standardised.
        half: (n,) bool; True rows set the recalibrated threshold, False rows count its false alarms.
        groups: (width,) feature of each column, so that corruptions keep one-hot groups valid.
        confirmed: (m, width) float32, standardised: records that people called attacks; None where there are none.
    """

    x: NDArray[np.float32]
    half: NDArray[np.bool_]
    groups: NDArray[np.int64]
    confirmed: NDArray[np.float32] | None = None


def score_rows(
    detector: Detector, weights: Weights, statistics: Statistics, x: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Raw scores (n,) of standardised rows (n, window * width), in chunks, without gradients."""
    import torch

    with torch.inference_mode():
        statistics = detector.prepare(statistics)
        parts = [
            detector.raw_score(weights, statistics, torch.from_numpy(x[i : i + CHUNK])).numpy()
            for i in range(0, len(x), CHUNK)
        ]
    return np.concatenate(parts).astype(np.float64) if parts else np.zeros(0)


def take_statistics(
    detector: Detector, weights: Weights, x: NDArray[np.float32]
) -> dict[str, NDArray[np.float64]]:
    """What the kinds of the items of phase `under_candidate` take of rows x; an item of too few records lacks.

    Whatever is infinite or NaN under the candidate says nothing.
    """
    import torch

    items = {item.name: item for item in detector.layout.of_phase("under_candidate")}
    seen: dict[str, list[NDArray[np.float64]]] = {name: [] for name in items}
    with torch.inference_mode():
        for start in range(0, len(x), CHUNK):
            for name, values in detector.observe(weights, torch.from_numpy(x[start : start + CHUNK])).items():
                seen[name].append(values.numpy().astype(np.float64))
    taken: dict[str, NDArray[np.float64]] = {}
    for name, parts in seen.items():
        if parts:
            taken |= KINDS[items[name].kind].take(items[name], np.concatenate(parts))
    return taken


def judge(
    detector: Detector,
    release: ModelState,
    candidate: Mapping[str, NDArray[np.float32]],
    held_out: HeldOut,
    policy: VotePolicy,
    seed: int,
) -> tuple[Judgement, dict[str, NDArray[np.float64]]]:
    """Judge `candidate` beside `release`.

    Returns:
        The judgement and the statistics taken under the candidate.
    """
    import torch

    new_weights = {name: torch.tensor(array) for name, array in candidate.items()}
    taken = take_statistics(detector, new_weights, held_out.x)
    corrupted = _corrupted(held_out, seed)
    new = _quality(detector, (new_weights, statistics_tensors(detector.layout, taken)), held_out, corrupted)
    old = _quality(detector, release.tensors(detector.layout), held_out, corrupted)
    return _decide(new, old, policy, int((~held_out.half).sum())), taken


def _corrupted(held_out: HeldOut, seed: int) -> NDArray[np.float32]:
    """A corrupted copy of every row; of a window only the last record, the one that is scored."""
    out = held_out.x.copy()
    width = len(held_out.groups)
    out[:, -width:] = corrupt(out[:, -width:], np.random.default_rng(seed), held_out.groups)
    return out


def _quality(
    detector: Detector,
    model: tuple[Weights, Statistics],
    held_out: HeldOut,
    corrupted: NDArray[np.float32],
) -> tuple[float, float]:
    """AUC against what is abnormal, and false alarms of one half at the other half's 99 % quantile.

    From `MIN_CONFIRMED` on, confirmed attacks are `CONFIRMED_SHARE` of what is abnormal, else corruptions are all.
    The AUC is NaN where a score is not finite: such records would be set aside, not alarmed.
    """
    clean, abnormal = (score_rows(detector, *model, x) for x in (held_out.x, corrupted))
    if not (np.isfinite(clean).all() and np.isfinite(abnormal).all()):
        return np.nan, 1.0
    quality = auc(clean, abnormal)
    if held_out.confirmed is not None and len(held_out.confirmed) >= MIN_CONFIRMED:
        attacks = score_rows(detector, *model, held_out.confirmed)
        if not np.isfinite(attacks).all():
            return np.nan, 1.0
        quality += CONFIRMED_SHARE * (auc(clean, attacks) - quality)
    calibrating, checking = clean[held_out.half], clean[~held_out.half]
    if not (len(calibrating) and len(checking)):
        return quality, 0.0
    return quality, float((checking > np.quantile(calibrating, 0.99)).mean())


def _decide(new: tuple[float, float], old: tuple[float, float], policy: VotePolicy, checked: int) -> Judgement:
    """Two standard errors of a share of `checked` records are allowed for: a small hold-out must not veto by luck.

    With 100 records on each side a sound candidate would else exceed 5 % in one vote of sixteen.
    """
    (auc_new, alarms_new), (auc_old, alarms_old) = new, old
    allowed = max(policy.false_alarm_rate, policy.false_alarm_growth * alarms_old)
    luck = 2 * np.sqrt(alarms_new * (1 - alarms_new) / max(checked, 1))
    wanted = max(policy.auc_floor, auc_old - policy.auc_loss)
    if not np.isfinite(auc_new) or auc_new < wanted:
        approve, reason = False, f"AUC {auc_new:.3f} is below {wanted:.3f}"
    elif alarms_new - luck > allowed:
        approve, reason = False, f"false alarms {alarms_new:.1%} are above {allowed:.1%}"
    else:
        approve, reason = True, f"AUC {auc_new:.3f}, release {auc_old:.3f}; false alarms {alarms_new:.1%}"
    return Judgement(approve, reason, float(np.nan_to_num(auc_new)), float(np.nan_to_num(auc_old)), alarms_new)
