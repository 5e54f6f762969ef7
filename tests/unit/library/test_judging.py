"""Votes: bad candidates are rejected however good their loss looks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamgauge.detectors.base import Detector, Statistics, Weights
from streamgauge.judging import CHUNK, HeldOut, Judgement, VotePolicy, _decide, judge, score_rows, take_statistics
from streamgauge.layout import Item
from streamgauge.state import ModelState

WIDTH = 6
Score = Callable[[torch.Tensor], torch.Tensor]


class Scripted(Detector):
    """Scores as the weight says: 0 norm, 1 copies, 2 NaN, 3 reversed, 4 infinite, 5 random alarms, 6 overflows."""

    name = "scripted"

    def items(self) -> tuple[Item, ...]:
        return (Item("which", (1,), "mean", "weights"), Item("seen", (self.width,), "moments", "under_candidate"))

    def raw_score(self, weights: Weights, statistics: Statistics, x: torch.Tensor) -> torch.Tensor:
        norm = x.square().mean(dim=1)
        scores: list[Score] = [
            lambda x: norm,
            lambda x: (x - x).square().sum(dim=1),
            lambda x: norm * float("nan"),
            lambda x: 1 / (norm + 1e-3),
            lambda x: norm * float("inf"),
            lambda x: norm + 100 * (x[:, 0].abs() > 1.0),
            lambda x: norm.where(x.abs().amax(dim=1) < 4.5, norm * float("inf")),
        ]
        return scores[int(weights["which"][0])](x)

    def loss(self, weights: Weights, x: torch.Tensor, y: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return weights["which"].sum()

    def attribute(self, weights: Weights, statistics: Statistics, x: torch.Tensor) -> torch.Tensor:
        return x.abs()

    def observe(self, weights: Weights, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"seen": x * (float("nan") if int(weights["which"][0]) == 2 else 1)}


DETECTOR = Scripted(WIDTH)


def weights(which: int) -> dict[str, NDArray[np.float32]]:
    return {"which": np.array([which], np.float32)}


def held_out(n: int = 1000, seed: int = 0) -> HeldOut:
    x = np.random.default_rng(seed).normal(size=(n, WIDTH)).astype(np.float32)
    return HeldOut(x, np.arange(n) % 2 == 1, np.arange(WIDTH))


def vote(candidate: int, release: int, data: HeldOut | None = None) -> Judgement:
    model = ModelState(weights(release), {})
    return judge(DETECTOR, model, weights(candidate), data or held_out(), VotePolicy(), seed=3)[0]


def test_a_good_candidate_is_approved() -> None:
    judged = vote(0, 0)
    assert judged.approve, judged.reason
    assert judged.auc_candidate > 0.6


@pytest.mark.parametrize("release", [0, 1, 2])
@pytest.mark.parametrize(
    ("candidate", "what"),
    [(1, "copies its input"), (2, "NaN"), (3, "reversed"), (4, "infinite"), (6, "overflows on wild rows only")],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_bad_candidate_is_rejected_even_beside_a_bad_release(candidate: int, what: str, release: int) -> None:
    judged = vote(candidate, release)
    assert not judged.approve, (what, judged.reason)
    assert "AUC" in judged.reason
    assert np.isfinite([judged.auc_candidate, judged.auc_release, judged.false_alarm_rate]).all()


def test_a_good_candidate_replaces_a_broken_release() -> None:
    with np.errstate(invalid="ignore"):
        assert vote(0, 2).approve


def test_it_is_repeatable_and_modifies_nothing() -> None:
    data = held_out()
    before = data.x.copy()
    assert vote(0, 0, data) == vote(0, 0, data)
    assert np.array_equal(before, data.x)


def test_halves_that_are_empty_do_not_crash() -> None:
    x = held_out().x
    for half in (np.zeros(len(x), bool), np.ones(len(x), bool)):
        assert vote(0, 0, HeldOut(x, half, np.arange(WIDTH))).false_alarm_rate == 0.0


PAIR = st.tuples(st.floats(0, 1), st.floats(0, 1))


@given(PAIR, PAIR, st.integers(0, 10**6))
def test_the_decision_follows_the_policy(new: tuple[float, float], old: tuple[float, float], checked: int) -> None:
    policy = VotePolicy()
    judged = _decide(new, old, policy, checked)
    good_auc = new[0] >= max(policy.auc_floor, old[0] - policy.auc_loss)
    allowed = max(policy.false_alarm_rate, policy.false_alarm_growth * old[1])
    if good_auc and new[1] <= allowed:
        assert judged.approve
    if not good_auc or new[1] > allowed + 1 / max(checked, 1) ** 0.5:
        assert not judged.approve
    assert len(judged.reason) <= 500
    assert _decide((1.0, 0.0), old, policy, checked).approve


@pytest.mark.parametrize("n", [200, 400, 2000])
def test_sound_candidates_are_not_rejected_by_the_luck_of_a_small_hold_out(n: int) -> None:
    rejected = [vote(0, 0, held_out(n, seed)) for seed in range(60)]
    assert sum(not judged.approve and "false alarms" in judged.reason for judged in rejected) <= 1


def test_many_false_alarms_are_rejected() -> None:
    """Scores that are fine by AUC, but whose tail differs between the halves."""
    data = held_out(4000)
    data.x[~data.half] *= np.float32(1.6)
    judged = vote(0, 0, data)
    policy = VotePolicy()
    assert _decide((0.99, judged.false_alarm_rate), (0.99, 0.01), policy, 2000).approve is False


@pytest.mark.parametrize("n", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1])
def test_scoring_in_chunks_equals_scoring_at_once(n: int) -> None:
    x = held_out(n).x
    expected = np.square(x).mean(axis=1)
    np.testing.assert_allclose(score_rows(DETECTOR, {"which": torch.zeros(1)}, {}, x), expected, rtol=1e-6)


@given(st.integers(20, 300))
def test_statistics_are_the_moments_of_what_was_observed(n: int) -> None:
    x = held_out(n).x
    taken = take_statistics(DETECTOR, {"which": torch.zeros(1)}, x)
    np.testing.assert_allclose(taken["seen.sum"], x.astype(np.float64).sum(0))
    np.testing.assert_allclose(taken["seen.sumsq"], (x.astype(np.float64) ** 2).sum(0))
    assert taken["seen.n"].tolist() == [n] * WIDTH


def test_below_the_smallest_count_no_statistics_leave_the_node() -> None:
    assert take_statistics(DETECTOR, {"which": torch.zeros(1)}, held_out(19).x) == {}
