"""What every kind of statistics promises: union, order, bounds under lies, checks, and what a detector reads."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamgauge.errors import ConfigurationError, StateError
from streamgauge.federation.kinds import KINDS, Kind, Merged
from streamgauge.federation.kinds.centroids import Centroids, k_means
from streamgauge.federation.kinds.matching import align, match
from streamgauge.federation.kinds.medians import median_weights
from streamgauge.layout import Arrays, Item, Layout, Phase, check_arrays
from tests.support.examples import examples

SEEDS = st.integers(0, 2**32 - 1)
Floats = NDArray[np.float64]
CORNERS = np.array([[0.0, 0.0, 0.0], [10.0, 0.0, 3.0], [20.0, 9.0, 0.0]])
"""Three clusters far from each other."""
ITEMS = {
    "moments": Item("s", (3,), "moments", "under_candidate"),
    "comoments": Item("s", (3,), "comoments", "under_candidate"),
    "centroids": Item("s", (3, 3), "centroids", "under_candidate"),
    "centroids_one_shot": Item("s", (3, 3), "centroids_one_shot", "under_candidate"),
    "prototypes": Item("s", (3, 3), "prototypes", "under_candidate"),
    "range": Item("s", (3,), "range", "under_candidate"),
}
STATISTICS = sorted(ITEMS)
ADDITIVE = [name for name in STATISTICS if name != "range"]


def rows_of(generator: np.random.Generator, n: int = 150) -> Floats:
    """Rows in three clusters, with another mean in each node's."""
    rows = CORNERS[np.resize([0, 1, 2], n)] + 0.3 * generator.normal(size=(n, 3)) + 0.1 * generator.normal(size=3)
    return np.asarray(rows, np.float64)


def seen_as(kind: str, rows: Floats) -> Floats:
    """As `observe` returns it; the class of a row is its nearest corner."""
    if kind != "prototypes":
        return rows
    nearest = np.square(rows[:, None] - CORNERS).sum(axis=2).argmin(axis=1)
    return np.where((nearest[:, None] == np.arange(3))[:, :, None], rows[:, None, :], np.nan)


def take(kind: str, rows: Floats) -> Merged:
    return KINDS[kind].take(ITEMS[kind], seen_as(kind, rows))


def merge(kind: str, parts: Sequence[Arrays], robust: bool = False, counts: Floats | None = None) -> Merged:
    n = np.full(len(parts), 150.0) if counts is None else counts
    one = KINDS[kind].robust if robust else KINDS[kind].merge
    return one(ITEMS[kind], parts, n, n)


def values(kind: str, merged: Arrays) -> tuple[Floats, ...]:
    return KINDS[kind].values(ITEMS[kind], merged)


def close(left: Arrays, right: Arrays) -> None:
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_allclose(left[name], right[name], rtol=1e-7, atol=1e-9)


def nodes(seed: int, count: int = 4) -> list[Floats]:
    return [rows_of(generator) for generator in np.random.default_rng(seed).spawn(count)]


def test_every_kind_of_statistics_is_tested_here() -> None:
    assert set(ITEMS) == {name for name, kind in KINDS.items() if "under_candidate" in kind.phases}


# -- merging ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ADDITIVE)
@examples(5)
@given(SEEDS)
def test_merged_statistics_are_those_of_the_union(kind: str, seed: int) -> None:
    parts = nodes(seed)
    union = take(kind, np.concatenate(parts))
    merged = merge(kind, [take(kind, part) for part in parts])
    # k-means on the union numbers its clusters as it likes; a merge of one puts them in order.
    close(merged, merge(kind, [union], counts=np.array([600.0])))


@pytest.mark.parametrize("kind", STATISTICS)
@pytest.mark.parametrize("robust", [False, True])
@examples(3)
@given(SEEDS)
def test_the_order_of_the_nodes_does_not_matter(kind: str, robust: bool, seed: int) -> None:
    parts = [take(kind, part) for part in nodes(seed)]
    expected = merge(kind, parts, robust)
    for order in list(permutations(range(4)))[1::5]:
        close(merge(kind, [parts[i] for i in order], robust), expected)


@pytest.mark.parametrize("kind", STATISTICS)
@examples(5)
@given(SEEDS)
def test_merging_is_associative(kind: str, seed: int) -> None:
    parts = [take(kind, part) for part in nodes(seed)]
    halves = [merge(kind, parts[:1]), merge(kind, parts[1:])]
    close(merge(kind, halves, counts=np.array([150.0, 450.0])), merge(kind, parts))


@pytest.mark.parametrize("kind", ADDITIVE)
def test_a_capped_count_weighs_less_and_moves_no_centre(kind: str) -> None:
    item, (part,) = ITEMS[kind], nodes(1, 1)
    one = take(kind, part)
    for rule in (KINDS[kind].merge, KINDS[kind].robust):
        capped = rule(item, [one], np.array([150.0]), np.array([30.0]))
        np.testing.assert_allclose(capped["s.n"].sum() * 5, one["s.n"].sum())
        close({"c": values(kind, capped)[0]}, {"c": values(kind, merge(kind, [one]))[0]})


LIES = st.sampled_from([-1e9, -1e3, 7.0, 1e3, 1e9])


@pytest.mark.parametrize("kind", STATISTICS)
@examples(8)
@given(SEEDS, LIES)
def test_one_absurd_node_cannot_move_a_robust_merge_beyond_its_bound(kind: str, seed: int, lie: float) -> None:
    """Geometric median of 4 honest nodes and 1 hostile one: within 2 r (n - f) / (n - 2 f) = 8/3 r."""
    parts = [take(kind, part) for part in nodes(seed)]
    liar = take(kind, np.full((150, 3), lie) + np.arange(150)[:, None] % 3)
    honest = values(kind, merge(kind, parts, robust=True))
    moved = values(kind, merge(kind, [*parts, liar], robust=True))
    for before, after in list(zip(honest, moved, strict=True))[:2]:
        assert np.isfinite(after).all()
        assert np.abs(after - before).max() < 3.0


@examples(15)
@given(SEEDS, st.integers(1, 6), LIES)
def test_robust_covariances_stay_positive_semidefinite(seed: int, count: int, lie: float) -> None:
    generator = np.random.default_rng(seed)
    item = Item("s", (5,), "comoments", "under_candidate")
    parts = []
    for _ in range(count):
        rank = int(generator.integers(1, 4))
        rows = generator.normal(size=(40, rank)) @ generator.normal(size=(rank, 5))
        parts.append(KINDS["comoments"].take(item, rows))
    parts.append(KINDS["comoments"].take(item, np.full((40, 5), lie) * generator.normal(size=(40, 1))))
    n = np.full(len(parts), 40.0)
    _, covariance = KINDS["comoments"].values(item, KINDS["comoments"].robust(item, parts, n, n))
    lowest = np.linalg.eigvalsh(covariance)[0]
    assert lowest >= -1e-9 * max(1.0, np.trace(covariance))


@given(SEEDS, st.integers(1, 7))
def test_the_geometric_median_is_an_average(seed: int, count: int) -> None:
    points = np.random.default_rng(seed).normal(size=(count, 3)) ** 3
    weights = median_weights(points)
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(), 1.0)
    centre = weights @ points

    def total(place: Floats) -> float:
        return float(np.sqrt(np.square(points - place).sum(axis=1)).sum())

    assert total(centre) <= min(total(point) for point in [*points, points.mean(axis=0)]) * (1 + 1e-3) + 1e-9


# -- matching --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("robust", [False, True])
@examples(10)
@given(SEEDS)
def test_matching_undoes_permutations(robust: bool, seed: int) -> None:
    generator = np.random.default_rng(seed)
    truth = generator.permutation(8)[:5, None] * 10.0 + generator.normal(size=(5, 2))
    shuffles = [generator.permutation(5) for _ in range(4)]
    centres = np.stack([truth[s] + 0.1 * generator.normal(size=truth.shape) for s in shuffles])
    order = align(centres, np.full((4, 5), 30.0), robust=robust)
    found = np.stack([s[o] for s, o in zip(shuffles, order, strict=True)])
    assert (found == found[0]).all()
    assert sorted(found[0].tolist()) == list(range(5))
    assert (np.diff(truth[found[0], 0]) > 0).all(), "merged clusters stand in the order of their centres"


def test_iterated_matching_recovers_what_one_shot_matching_gets_wrong() -> None:
    """The node to begin with lies between: after one averaging the common clusters are clear."""
    found = []
    for seed in range(60):
        generator = np.random.default_rng(seed)
        truth = np.arange(6)[:, None] * np.array([[1.0, 0.0]])
        shuffles = [generator.permutation(6) for _ in range(9)]
        centres = np.stack([truth[s] + 0.55 * generator.normal(size=truth.shape) for s in shuffles])
        right = []
        for rounds in (1, 50):
            order = align(centres, np.full((9, 6), 30.0), rounds=rounds)
            places = np.stack([s[o] for s, o in zip(shuffles, order, strict=True)])
            right.append((places == np.median(places, axis=0)).mean())
        found.append(right)
    one_shot, iterated = np.mean(found, axis=0)
    assert iterated > one_shot


def test_empty_clusters_take_what_is_left_over() -> None:
    reference, filled = np.array([[0.0], [10.0], [0.0]]), np.array([True, True, False])
    assert match(np.array([[0.0], [9.0], [1.0]]), np.array([False, True, True]), reference, filled).tolist() == [
        2,
        1,
        0,
    ]
    surplus = match(np.array([[50.0], [9.0], [1.0]]), np.ones(3, bool), reference, filled)
    assert surplus.tolist() == [2, 1, 0], "the cluster that nobody else has goes to the empty place"


@pytest.mark.parametrize("robust", [False, True])
def test_a_cluster_that_only_some_nodes_have_is_kept(robust: bool) -> None:
    generator = np.random.default_rng(0)
    rows = [rows_of(generator) for _ in range(4)]
    two = [part[part[:, 1] < 5] for part in rows[:3]]
    merged = merge("centroids", [take("prototypes", part) for part in [*two, rows[3]]], robust)
    centres, _, counts = values("centroids", merged)
    assert counts.tolist() == [200, 200, 50]
    np.testing.assert_allclose(centres, CORNERS, atol=0.5)


# -- taking ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", STATISTICS)
def test_what_is_taken_passes_the_checks_changes_nothing_and_repeats(kind: str) -> None:
    rows = rows_of(np.random.default_rng(3))
    rows[5] = np.nan
    before = rows.copy()
    taken = take(kind, rows)
    check_arrays((ITEMS[kind],), taken)
    KINDS[kind].check(ITEMS[kind], taken, len(rows), 1e3)
    close(take(kind, rows), taken)
    np.testing.assert_array_equal(rows, before)
    assert KINDS[kind].filled(ITEMS[kind], taken)
    assert all(np.isfinite(value).all() for value in values(kind, taken))


@pytest.mark.parametrize("kind", STATISTICS)
@pytest.mark.parametrize(
    "rows", [np.zeros((0, 3)), rows_of(np.random.default_rng(0), 19), np.full((50, 3), np.nan)]
)
def test_too_few_records_are_not_sent(kind: str, rows: Floats) -> None:
    assert take(kind, rows) == {}


@pytest.mark.parametrize("kind", STATISTICS)
def test_constant_rows_give_a_defined_result(kind: str) -> None:
    taken = take(kind, np.full((60, 3), 2.0))
    KINDS[kind].check(ITEMS[kind], taken, 60, 1e3)
    merged = merge(kind, [taken, taken], robust=True, counts=np.full(2, 60.0))
    read = values(kind, merged)
    assert all(np.isfinite(value).all() for value in read)
    assert 2.0 in read[0]


@pytest.mark.parametrize("kind", ["centroids", "prototypes"])
def test_small_groups_are_sent_empty(kind: str) -> None:
    rows = np.concatenate([rows_of(np.random.default_rng(0)), np.full((19, 3), -90.0)])
    if kind == "prototypes":
        rows = np.concatenate([rows[rows[:, 1] < 5], np.tile(CORNERS[2], (19, 1))])
    taken = take(kind, rows)
    assert ((taken["s.n"] == 0) | (taken["s.n"] >= 20)).all()
    assert (taken["s.n"] == 0).any()
    assert not np.isclose(taken["s.sum"], 19 * -90.0).any()


def test_k_means_finds_clusters_and_no_more_than_there_are() -> None:
    rows = rows_of(np.random.default_rng(0))
    found = k_means(rows, 3)
    assert len({tuple(found[i::3].tolist()) for i in range(3)}) == 3
    assert all(len(set(found[i::3])) == 1 for i in range(3))
    assert set(k_means(np.repeat(CORNERS[:2], 10, axis=0), 5)) == {0, 1}
    assert k_means(rows[:1], 4).tolist() == [0]


def test_a_range_is_never_of_single_records() -> None:
    rows = np.arange(40.0)[:, None] * np.ones(3)
    rows[0], rows[-1] = -1e6, 1e6
    low, high = values("range", take("range", rows))
    assert (low >= 4).all()
    assert (high <= 35).all()


# -- checks ----------------------------------------------------------------------------------------------

BROKEN = [
    ("moments", "n", 1e6, "whole numbers"),
    ("comoments", "n", 0.5, "whole numbers"),
    ("comoments", "n", 151.0, "whole numbers"),
    ("comoments", "sum", 1e9, "sum is beyond"),
    ("comoments", "outer", 1e9, "outer is beyond"),
    ("comoments", "outer", -5e4, "not symmetric"),
    ("centroids", "n", 150.0, "add up"),
    ("centroids", "sum", 1e9, "sum is beyond"),
    ("centroids", "sumsq", -1.0, "below sum"),
    ("prototypes", "n", -1.0, "whole numbers"),
    ("prototypes", "sumsq", 1e12, "beyond n"),
    ("range", "low", 500.0, "low is above"),
    ("range", "high", 1e9, "beyond"),
    ("range", "n", 1e9, "whole numbers"),
]


@pytest.mark.parametrize(("kind", "part", "value", "match"), BROKEN)
def test_impossible_values_are_refused(kind: str, part: str, value: float, match: str) -> None:
    arrays = take(kind, rows_of(np.random.default_rng(0)))
    broken = np.array(arrays[f"s.{part}"])
    broken.flat[min(1, broken.size - 1)] = value
    with pytest.raises(StateError, match=match):
        KINDS[kind].check(ITEMS[kind], {**arrays, f"s.{part}": broken}, 150, 1e3)


def test_negative_variance_in_a_direction_is_refused() -> None:
    arrays = take("comoments", rows_of(np.random.default_rng(0)))
    arrays["s.outer"] = arrays["s.outer"] - 2e3 * np.ones((3, 3))
    with pytest.raises(StateError, match="negative variance"):
        KINDS["comoments"].check(ITEMS["comoments"], arrays, 150, 1e3)


@pytest.mark.parametrize("kind", STATISTICS)
def test_nothing_of_nobody(kind: str) -> None:
    with pytest.raises(StateError, match="nobody"):
        KINDS[kind].merge(ITEMS[kind], [], np.zeros(0), np.zeros(0))
    empty = {name: np.zeros(shape) for name, (shape, _) in ITEMS[kind].arrays().items()}
    KINDS[kind].check(ITEMS[kind], empty, 0, 1e3)
    for robust in (False, True):
        merged = merge(kind, [empty, empty], robust, np.ones(2))
        assert not KINDS[kind].filled(ITEMS[kind], merged)
        assert values(kind, merged) == ()


@pytest.mark.parametrize(
    ("kind", "shape", "phase", "robust", "match"),
    [
        ("comoments", (3, 3), "under_candidate", "", "needs 1 dim"),
        ("centroids", (3,), "under_candidate", "", "needs 2 dim"),
        ("prototypes", (0, 3), "under_candidate", "", "at least 1"),
        ("range", (), "agreement", "", "needs 1 dim"),
        ("moments", (3,), "weights", "", "made in phase agreement, under_candidate"),
        ("mean", (3,), "agreement", "", "made in phase weights"),
        ("comoments", (3,), "under_candidate", "median", "'geometric_median'"),
        ("medians", (3,), "weights", "", "unknown state kind 'medians'; known: centroids"),
    ],
)
def test_items_that_cannot_be_of_their_kind_are_refused(
    kind: str, shape: tuple[int, ...], phase: Phase, robust: str, match: str
) -> None:
    with pytest.raises(ConfigurationError, match=match):
        Layout((Item("s", shape, kind, phase, robust=robust),))


def test_one_shot_is_one_round() -> None:
    one: Kind = KINDS["centroids_one_shot"]
    assert isinstance(one, Centroids)
    assert one.rounds == 1
