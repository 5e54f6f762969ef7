"""The order of records: phases, shares of attacks, runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.replay.scenario import Piece, Scenario, SiteStream, interleave, share_out
from streamgauge.errors import ConfigurationError

NORMALS = np.arange(100)
ATTACKS = {
    "flood": {"http": np.arange(100, 140), "dns": np.arange(140, 150), "ftp": np.arange(150, 152)},
    "scan": {"dns": np.arange(200, 203)},
}
ENTITY = {
    row: (kind, name) for kind, pools in ATTACKS.items() for name, rows in pools.items() for row in rows.tolist()
}
SCENARIO = Scenario(normal_records=250, burst_records=400, pause_records=50, attack_share=0.05, run_records=10)


def stream(scenario: Scenario = SCENARIO, seed: int = 1) -> SiteStream:
    return SiteStream(scenario, NORMALS, ATTACKS, seed)


def rows_of(pieces: list[Piece]) -> list[int]:
    return [row for piece in pieces for row in piece.rows.tolist()]


def test_normal_first_then_bursts_and_pauses() -> None:
    pieces = stream().take(250 + 2 * 450)
    assert [(p.phase, len(p.rows)) for p in pieces] == [
        ("normal", 250),
        ("burst", 400),
        ("pause", 50),
        ("burst", 400),
        ("pause", 50),
    ]
    attacks = [int((p.rows >= 100).sum()) for p in pieces]
    assert attacks == [0, 20, 0, 20, 0]


def test_every_normal_record_comes_before_any_comes_again() -> None:
    rows = rows_of(stream().take(200))
    assert sorted(rows[:100]) == sorted(rows[100:]) == NORMALS.tolist()
    assert rows[:100] != rows[100:]


def test_a_run_is_one_type_on_one_entity_or_two_close_together() -> None:
    for seed in range(20):
        burst = stream(seed=seed).take(650)[1].rows
        for half in (burst[:200], burst[200:]):
            places = np.flatnonzero(half >= 100)
            assert len(places) == 10
            assert places[-1] - places[0] < 20
            hit = {ENTITY[row] for row in half[places].tolist()}
            assert len({kind for kind, _ in hit}) == 1
            assert len(hit) <= 2


def test_no_normal_rows_are_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="no normal rows"):
        SiteStream(SCENARIO, NORMALS[:0], ATTACKS, 1)


def test_without_attacks_bursts_are_normal() -> None:
    rows = rows_of(SiteStream(SCENARIO, NORMALS, {}, 1).take(1000))
    assert max(rows) < 100


@given(st.lists(st.integers(1, 300), min_size=1, max_size=12), st.integers(0, 5))
def test_the_sequence_does_not_depend_on_how_it_is_taken(counts: list[int], seed: int) -> None:
    whole = rows_of(stream(seed=seed).take(sum(counts)))
    parts = stream(seed=seed)
    assert [row for count in counts for row in rows_of(parts.take(count))] == whole


@given(st.integers(1, 500), st.floats(0, 0.5), st.integers(1, 60), st.integers(0, 3))
def test_any_burst_holds_its_share(length: int, share: float, run: int, seed: int) -> None:
    pieces = stream(Scenario(0, length, 0, share, run), seed).take(length)
    assert [(p.phase, len(p.rows)) for p in pieces] == [("burst", length)]
    assert int((pieces[0].rows >= 100).sum()) == round(share * length)


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=6))
def test_sites_share_out_all_rows_and_take_turns_by_their_shares(shares: list[float]) -> None:
    parts = share_out(np.arange(5000), shares, seed=3)
    assert sorted(np.concatenate(parts).tolist()) == list(range(5000))
    order = interleave(shares)
    expected = np.array(shares) / sum(shares) * len(order)
    np.testing.assert_allclose(np.bincount(order, minlength=len(shares)), expected, atol=1)
    half = np.bincount(order[:5000], minlength=len(shares))
    np.testing.assert_allclose(half, expected / 2, atol=2)
