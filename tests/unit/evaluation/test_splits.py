"""Splits: nothing twice, nothing lost, the same for a seed, and never the future in training."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.errors import ConfigurationError
from streamgauge.evaluation.nodes import dirichlet_nodes, feature_groups
from streamgauge.evaluation.splits import (
    Rows,
    Split,
    by_value,
    count_splits,
    distinct_rows,
    group_split,
    heads,
    ratio_split,
    time_blocks,
    time_split,
)
from tests.support.examples import examples

SHARES = st.sampled_from([(6, 1, 3), (6, 3, 1), (0.5, 0.5, 0), (1, 0, 0), (0, 0, 1)])
SEEDS = st.integers(0, 2**32)
VALUES = st.lists(st.sampled_from("abcdefgh"), min_size=8, max_size=60)


def parts(split: Split) -> list[Rows]:
    return [split.train, split.validation, split.test]


def assert_partition(pieces: list[Rows], n: int) -> None:
    np.testing.assert_array_equal(np.sort(np.concatenate(pieces)), np.arange(n))
    assert all(piece.dtype == np.int64 for piece in pieces)


def same(a: Split, b: Split) -> bool:
    return all(map(np.array_equal, parts(a), parts(b)))


@given(n=st.integers(0, 500), shares=SHARES, seed=SEEDS)
def test_a_ratio_split_is_a_seeded_partition(n: int, shares: tuple[float, ...], seed: int) -> None:
    split = ratio_split(n, shares, seed)
    assert_partition(parts(split), n)
    assert same(split, ratio_split(n, shares, seed))
    for part, share in zip(parts(split), shares, strict=True):
        assert abs(len(part) - n * share / sum(shares)) <= 1


def test_paper_3_splits_10_000_of_all_records() -> None:
    for shares, sizes in (((6, 1, 3), [6000, 1000, 3000]), ((6, 3, 1), [6000, 3000, 1000])):
        split = ratio_split(125_973, shares, seed=1, limit=10_000)
        assert [len(part) for part in parts(split)] == sizes
        assert len(np.unique(np.concatenate(parts(split)))) == 10_000
    assert not same(ratio_split(100, (6, 1, 3), 1), ratio_split(100, (6, 1, 3), 2))


def test_four_edges_of_paper_3_do_not_overlap() -> None:
    edges = count_splits(125_973, parts=4, counts=(10_000, 5_000, 5_000), seed=7)
    drawn = np.concatenate([part for edge in edges for part in parts(edge)])
    assert [len(part) for edge in edges for part in parts(edge)] == [10_000, 5_000, 5_000] * 4
    assert len(np.unique(drawn)) == 80_000
    with pytest.raises(ConfigurationError, match="are 80000, there are 79999; ask for fewer"):
        count_splits(79_999, 4, (10_000, 5_000, 5_000), 7)


@given(times=st.lists(st.integers(0, 30), max_size=60), shares=SHARES, gap=st.sampled_from([0.0, 2.0]))
def test_a_time_split_never_trains_on_the_future(times: list[int], shares: tuple[float, ...], gap: float) -> None:
    column = np.array(times, np.float64)
    split = time_split(column, shares, gap_s=gap)
    kept = np.concatenate(parts(split))
    assert len(np.unique(kept)) == len(kept)
    if gap == 0:
        assert_partition(parts(split), len(times))
    filled = [column[part] for part in parts(split) if len(part)]
    for earlier, later in pairwise(filled):
        assert earlier.max() + gap < later.min()
    assert all((np.diff(part) >= 0).all() for part in filled)


def test_rows_of_one_time_stay_together() -> None:
    split = time_split(np.array([5.0, 1, 1, 1, 9]), (1, 1, 1))
    assert [part.tolist() for part in parts(split)] == [[1, 2, 3], [], [0, 4]]


def test_data_without_times_cannot_be_split_by_time() -> None:
    with pytest.raises(ConfigurationError, match="1 of 2 rows have no time"):
        time_split(np.array([1.0, np.nan]), (1, 1, 1))
    with pytest.raises(ConfigurationError, match="no time"):
        time_blocks(np.array([np.nan]), 1)


@given(times=st.lists(st.integers(0, 9), min_size=1, max_size=40), data=st.data())
def test_time_blocks_follow_one_another(times: list[int], data: st.DataObject) -> None:
    column = np.array(times, np.float64)
    blocks = time_blocks(column, data.draw(st.integers(1, len(times))))
    assert_partition(list(blocks), len(times))
    assert (np.diff(column[np.concatenate(blocks)]) >= 0).all()
    assert max(map(len, blocks)) - min(map(len, blocks)) <= 1


@given(values=VALUES, shares=SHARES, seed=SEEDS)
def test_groups_are_never_parted(values: list[str], shares: tuple[float, ...], seed: int) -> None:
    column = np.array(values, object)
    wanted = sum(share > 0 for share in shares)
    if len(set(values)) < wanted:
        with pytest.raises(ConfigurationError, match="each part needs one"):
            group_split(column, shares, seed)
        return
    split = group_split(column, shares, seed)
    assert_partition(parts(split), len(values))
    groups = [set(column[part].tolist()) for part in parts(split)]
    assert sum(map(len, groups)) == len(set(values))
    assert [bool(group) for group in groups] == [share > 0 for share in shares]
    assert same(split, group_split(column, shares, seed))


@given(values=VALUES, count=st.integers(0, 5))
def test_heads_are_the_first_rows_of_each_group(values: list[str], count: int) -> None:
    column = np.array(values, object)
    first, rest = heads(column, count)
    assert_partition([first, rest], len(values))
    for rows in by_value(column).values():
        assert np.isin(rows, first).tolist() == [i < count for i in range(len(rows))]


@examples(25)
@given(values=VALUES, nodes=st.integers(1, 4), alpha=st.sampled_from([0.3, 1.0, 100.0]), seed=SEEDS)
def test_dirichlet_nodes_are_a_seeded_partition(values: list[str], nodes: int, alpha: float, seed: int) -> None:
    column = np.array(values, object)
    pieces = dirichlet_nodes(column, nodes, alpha, seed)
    assert_partition(list(pieces), len(values))
    assert all(len(piece) and (np.diff(piece) > 0).all() for piece in pieces)
    assert all(map(np.array_equal, pieces, dirichlet_nodes(column, nodes, alpha, seed)))


def test_a_small_alpha_makes_unlike_nodes() -> None:
    column = np.repeat(np.array(list("abcdefghij"), object), 200)

    def spread(alpha: float) -> float:
        pieces = dirichlet_nodes(column, 5, alpha, seed=3)
        shares = [[(column[p] == value).mean() for value in "abcdefghij"] for p in pieces]
        return float(np.std(shares, axis=0).mean())

    assert spread(0.1) > 3 * spread(100.0)


def test_nodes_have_the_rows_they_need_or_it_says_so() -> None:
    column = np.array(["a"] * 50 + ["b"] * 50, object)
    assert min(map(len, dirichlet_nodes(column, 4, 0.5, 1, min_rows=15))) >= 15
    with pytest.raises(ConfigurationError, match="raise alpha, or ask for fewer"):
        dirichlet_nodes(column, 4, 0.001, 1, min_rows=20)
    with pytest.raises(ConfigurationError, match="ask for fewer nodes"):
        dirichlet_nodes(column, 101, 0.5, 1)


@given(n=st.integers(1, 39), nodes=st.integers(1, 6), shared=st.integers(0, 39), seed=SEEDS)
def test_feature_groups_share_k_and_have_their_own(n: int, nodes: int, shared: int, seed: int) -> None:
    names = [f"f{i}" for i in range(n)]
    if n - shared < nodes:
        with pytest.raises(ConfigurationError, match="share fewer features"):
            feature_groups(names, nodes, shared, seed)
        return
    groups = feature_groups(names, nodes, shared, seed)
    assert len(groups) == nodes
    assert {group.shared for group in groups} == {groups[0].shared}
    assert len(groups[0].shared) == shared
    private = [name for group in groups for name in group.private]
    assert all(group.private for group in groups)
    assert sorted([*groups[0].shared, *private]) == sorted(names)
    assert groups == feature_groups(names, nodes, shared, seed)


def test_shared_features_can_be_named() -> None:
    a, b = feature_groups(["x", "y", "z"], 2, ["y"], seed=1)
    assert a.names[0] == b.names[0] == "y"
    with pytest.raises(ConfigurationError, match="shared features q are not among x, y"):
        feature_groups(["x", "y"], 1, ["q"], seed=1)


CELLS = st.sampled_from([0.0, -0.0, 1.0, float("nan")])


@given(rows=st.lists(st.tuples(CELLS, st.sampled_from(["a", "b", None])), max_size=40))
def test_distinct_rows_are_the_first_of_equal_ones(rows: list[tuple[float, str | None]]) -> None:
    seen: dict[object, int] = {}
    for i, (number, text) in enumerate(rows):
        seen.setdefault(("nan" if number != number else number, text), i)
    columns = [np.array([r[0] for r in rows], np.float64), np.array([r[1] for r in rows], object)]
    assert distinct_rows(columns).tolist() == list(seen.values())


@pytest.mark.parametrize("split", [ratio_split, lambda n, s, seed: group_split(np.arange(n), s, seed)])
@pytest.mark.parametrize("shares", [(1, 2), (1, -1, 1), (0, 0, 0), (1, float("nan"), 1)])
def test_bad_shares_are_refused(split: Callable[..., Split], shares: tuple[float, ...]) -> None:
    with pytest.raises(ConfigurationError, match="give three numbers"):
        split(10, shares, 1)
