"""How table `strict` chooses without its test: records held apart, faults, rankings, and the files they wrote."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.quality.strict import choosing, skab_choice
from benchmarks.quality.strict.committee import Committee
from benchmarks.quality.strict.live import live_scorer
from benchmarks.quality.strict.members import MEMBERS, nearest_centre
from benchmarks.quality.strict.nsl import Node
from benchmarks.quality.strict.series import FIRST, Stretch
from benchmarks.quality.strict.skab_choice import LENGTH, best, faulty, halves, smoothed
from benchmarks.quality.strict.validating import (
    Surprises,
    candidates,
    categories_apart,
    judged,
    modes_apart,
    without,
)
from benchmarks.quality.table import TABLES
from streamgauge.errors import ConfigurationError
from streamgauge.simulation import Space
from tests.support.examples import examples

SEEDS = st.integers(0, 2**32 - 1)


def test_categories_held_apart_are_in_no_node() -> None:
    generator = np.random.default_rng(0)
    kinds = np.eye(8, dtype=np.float32)[generator.integers(0, 7, 300)]  # the last is never seen
    nodes = [Node(kinds[:100], kinds[100:150]), Node(kinds[150:250], kinds[250:]), Node(kinds[:1], kinds[:1])]
    left, new = without(nodes, categories_apart(nodes, np.arange(8), generator))
    gone = new.any(axis=0)
    assert gone.sum() == 2
    assert not any(part[:, gone].any() for node in left for part in (node.train, node.held))
    assert sum(len(node.train) for node in left) + len(new) == sum(len(node.train) for node in nodes)


def test_modes_held_apart_are_in_no_node() -> None:
    generator = np.random.default_rng(0)
    places = generator.integers(0, 80, (400, 1)) * np.ones((1, 2))
    x = (places + 0.01 * generator.normal(size=places.shape)).astype(np.float32)
    nodes = [Node(x[:150], x[150:200]), Node(x[200:350], x[350:])]
    has = modes_apart(nodes, Space.plain(2), np.random.default_rng(1))
    left, new = without(nodes, has)
    assert 0.1 < len(new) / 300 < 0.45
    assert has(new).all()
    assert not any(has(part).any() for node in left for part in (node.train, node.held))


def test_a_committee_is_judged_by_kinds_and_populations_alike() -> None:
    line = np.linspace(0.0, 1.0, 101)  # the line is at 0.95
    found = Surprises(
        {"z-score": line},
        {"known": {"z-score": np.zeros(10)}, "new": {"z-score": np.array([0.5, 2.0])}},
        {"attacks": {"many": {"z-score": np.full(90, 1.0)}, "few": {"z-score": np.array([0.0, 0.0])}}},
    )
    figures = judged(Committee(("z-score",)), found, ("known", "new"))["attacks"]
    assert figures["false_alarms"] == pytest.approx(0.25)
    assert figures["f1"] == pytest.approx(2 * 0.5 / (1 + 0.5 + 0.25))
    assert figures["auc"] == pytest.approx(np.mean([1.0, 0.5, 0.5, 0.0]))


def test_the_smaller_of_equal_committees_wins() -> None:
    def runs(f1: float) -> list[dict[str, dict[str, float]]]:
        return [{"attacks": {"f1": f1 + step, "auc": 0.5, "false_alarms": 0.1}} for step in (-0.1, 0.1)]

    ranked = choosing.ranking(
        {Committee(("a", "b")): runs(0.8), Committee(("a",)): runs(0.8), Committee(("b",)): runs(0.9)}, "attacks"
    )
    assert [entry["members"] for entry in ranked] == [["b"], ["a"], ["a", "b"]]
    assert ranked[0]["value"] == pytest.approx(0.7)


@given(SEEDS)
@examples(13)
def test_a_fault_is_after_the_first_rows_and_marked(seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(1000, 5))
    kept = x.copy()
    stretch = Stretch(x, np.zeros(1000, bool), np.arange(1000.0), "normal")
    one, again = (faulty(stretch, np.random.default_rng(seed)) for _ in range(2))
    np.testing.assert_array_equal(one.x, again.x)
    np.testing.assert_array_equal(x, kept)
    changed = (one.x != x).any(axis=1)
    assert changed.any()
    assert not (changed & ~one.truth).any()
    assert not one.truth[:FIRST].any()
    assert LENGTH[0] <= one.truth.sum() < LENGTH[1]
    assert 1 <= (one.x != x).any(axis=0).sum() <= 3


def test_few_false_alarms_come_before_a_high_f1() -> None:
    trials = [{"f1": f1, "false_alarms": alarms} for f1, alarms in ((0.9, 0.3), (0.7, 0.1), (0.8, 0.15))]
    assert [trial["f1"] for trial in best(trials)] == [0.8, 0.7, 0.9]


def test_smoothed_scores_look_back_within_their_stretch() -> None:
    first, second = np.array([4.0, 0.0, 2.0, 0.0]), np.array([1.0, 1.0])
    found = smoothed([first, second], 2)
    np.testing.assert_allclose(found[0], [4.0, 2.0, 1.0, 1.0])
    np.testing.assert_allclose(found[1], second)
    np.testing.assert_array_equal(smoothed([first], 1)[0], first)


def test_a_run_is_in_one_half() -> None:
    runs = [
        Stretch(np.empty((0, 1)), np.empty(0, bool), np.empty(0), f"{n}/0.csv")
        for n in ("valve1", "valve2", "other")
    ]
    assert halves(runs) == {"valve1": [0], "the rest": [1, 2]}


def test_what_the_files_say_was_tried_and_is_measured() -> None:
    known = set(map(str, candidates()))
    assert len(known) == len(candidates())
    for source in ("corruptions", "attacks"):
        for choice in choosing.NORMAL:
            winner = choosing.chosen(f"{source}, {choice}")
            assert set(winner.members) <= set(MEMBERS)
            assert str(winner) in known
    tried = skab_choice.settings()
    assert len(set(tried)) == len(tried)
    for name in ("other runs: valve1", "other runs: the rest", "corruptions"):
        assert set(skab_choice.chosen(name, skab_choice.TOGETHER)) <= set(tried)
        third = skab_choice.chosen(name + skab_choice.THIRD, skab_choice.TOGETHER)
        assert {setting.smooth for setting in third} <= {1, *skab_choice.SMOOTHED}
        assert {replace(setting, smooth=1) for setting in third} <= set(tried)
    keys = {row.key for row in TABLES["strict"]().rows}
    assert {"nsl-committee-attacks", "nsl-committee-seen", "skab-by-runs", "skab-by-corruptions-10"} <= keys
    for unknown in (choosing.chosen, skab_choice.chosen):
        with pytest.raises(ConfigurationError, match="it has"):
            unknown("the test")


def test_centres_of_several_nodes_are_near_their_records() -> None:
    generator = np.random.default_rng(0)
    parts = [generator.normal(centre, 0.2, (60, 3)).astype(np.float32) for centre in (-5.0, 5.0)]
    score = nearest_centre([Node(part[:50], part[50:]) for part in parts], Space.plain(3), 0, centres=2)
    assert score(np.concatenate(parts)).max() < 0.5 < score(np.zeros((1, 3), np.float32))[0]


@pytest.mark.parametrize("name", ["pca", "lstm"])
def test_a_live_detector_scores_a_stream_causally(name: str) -> None:
    generator = np.random.default_rng(0)
    shared = generator.normal(size=(400, 1))
    x = np.hstack([shared, shared, -shared]) + 0.05 * generator.normal(size=(400, 3))
    rows = x.astype(np.float32)

    def scores(of: NDArray[np.float32]) -> NDArray[np.float64]:
        return live_scorer(name, rows[:200], 64, 0)(of)

    broken = rows.copy()
    broken[300:, 0] *= -1.0
    plain, found = scores(rows), scores(broken)
    assert plain.shape == (400,)
    np.testing.assert_allclose(plain[:300], found[:300], rtol=1e-4)
    assert np.median(found[300:]) > 3 * np.median(plain[300:])
