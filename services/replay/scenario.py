"""What is sent in which order: normal records first, then bursts with attacks. Pure; all randomness is seeded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import ConfigurationError

Phase = Literal["normal", "burst", "pause"]
Rows = NDArray[np.int64]
Pools = Mapping[str, Mapping[str, Rows]]
_BLOCK = 10_000
_RUN_DENSITY = 0.6
"""Share of attacks within the stretch of a run; the rest are normal records passing by."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """The phases of a replay, in records.

    Attributes:
        normal_records: normal records before the first burst.
        burst_records: length of a burst.
        pause_records: normal records between two bursts.
        attack_share: share of attacks among a burst's records, in [0, `_RUN_DENSITY`].
        run_records: attacks of a run: one type, on one entity or two.
    """

    normal_records: int
    burst_records: int
    pause_records: int
    attack_share: float
    run_records: int

    def scaled(self, share: float) -> Scenario:
        """The same scenario for a site that sends `share` of all records; its phases last as long."""
        return replace(
            self,
            normal_records=round(self.normal_records * share),
            burst_records=max(1, round(self.burst_records * share)),
            pause_records=round(self.pause_records * share),
        )


class Piece(NamedTuple):
    """Records to send one after the other."""

    phase: Phase
    rows: Rows


class SiteStream:
    """One site's endless sequence of rows; does not depend on how many are taken at a time.

    Args:
        scenario: of this site, see `Scenario.scaled`.
        normals: rows of the site's normal records, at least one; used again in another order when all were sent.
        attacks: type -> entity -> rows; none: bursts hold normal records only.
        seed: of this site.

    Raises:
        ConfigurationError: no normal row.
    """

    def __init__(self, scenario: Scenario, normals: Rows, attacks: Pools, seed: int) -> None:
        if not len(normals):
            raise ConfigurationError("a site has no normal rows to send; it needs at least one")
        self._scenario = scenario
        self._attacks = attacks
        self._types = list(attacks)
        sizes = np.array([sum(map(len, attacks[t].values())) for t in self._types], np.float64)
        # the root: common types come more often, rare ones still come
        self._weights = np.sqrt(sizes) / np.sqrt(sizes).sum() if len(sizes) else sizes
        self._generator = np.random.default_rng(seed)
        self._normals = normals
        self._deck: Rows = normals[:0]
        self._pieces = self._sequence()
        self._left = Piece("normal", normals[:0])
        self._bursts_begun = False

    def begin_bursts(self) -> None:
        """End the first, normal phase now; without effect once it is over."""
        self._bursts_begun = True
        if self._left.phase == "normal":
            self._left = Piece("normal", self._left.rows[:0])

    def take(self, count: int) -> list[Piece]:
        """The next `count` rows."""
        taken: list[Piece] = []
        while count > 0:
            if not len(self._left.rows):
                self._left = next(self._pieces)
                continue
            phase, rows = self._left
            taken.append(Piece(phase, rows[:count]))
            self._left = Piece(phase, rows[count:])
            count -= len(taken[-1].rows)
        return taken

    def _sequence(self) -> Iterator[Piece]:
        scenario = self._scenario
        yield from self._calm("normal", scenario.normal_records)
        while True:
            yield Piece("burst", self._burst())
            yield from self._calm("pause", scenario.pause_records)

    def _calm(self, phase: Phase, count: int) -> Iterator[Piece]:
        for start in range(0, count, _BLOCK):
            if phase == "normal" and self._bursts_begun:
                return
            yield Piece(phase, self._draw(min(_BLOCK, count - start)))

    def _draw(self, count: int) -> Rows:
        """Normal rows without repetition until all were drawn."""
        while len(self._deck) < count:
            self._deck = np.concatenate([self._deck, self._generator.permutation(self._normals)])
        drawn, self._deck = self._deck[:count], self._deck[count:]
        return drawn

    def _burst(self) -> Rows:
        """A burst: its attacks in runs, each run in a stretch of its own."""
        scenario = self._scenario
        rows = self._draw(scenario.burst_records).copy()
        attacks = round(scenario.attack_share * len(rows))
        if not attacks or not self._types:
            return rows
        runs = max(1, round(attacks / scenario.run_records))
        sizes = np.diff(np.linspace(0, attacks, runs + 1).round().astype(int)).tolist()
        edges = np.linspace(0, len(rows), runs + 1).astype(int).tolist()
        for size, low, high in zip(sizes, edges[:-1], edges[1:], strict=True):
            rows[self._places(size, low, high)] = self._run(size)
        return rows

    def _places(self, size: int, low: int, high: int) -> Rows:
        """`size` places in [low, high), close together."""
        stretch = min(high - low, max(size, round(size / _RUN_DENSITY)))
        start = low + int(self._generator.integers(high - low - stretch + 1))
        return start + np.sort(self._generator.permutation(stretch)[:size])

    def _run(self, size: int) -> Rows:
        """`size` attacks of one type on the one or two entities it hits most, or on others now and then."""
        by_entity = self._attacks[self._types[int(self._generator.choice(len(self._types), p=self._weights))]]
        pools = list(by_entity.values())
        weights = np.array([len(pool) for pool in pools], np.float64)
        targets = min(len(pools), 1 + int(self._generator.integers(2)))
        chosen = self._generator.choice(len(pools), targets, replace=False, p=weights / weights.sum())
        pool = np.concatenate([pools[i] for i in chosen.tolist()])
        return self._generator.choice(pool, size)


def share_out(rows: Rows, shares: list[float], seed: int) -> list[Rows]:
    """Deal rows to sites by their shares, at random, none to two sites, at least one to each."""
    dealt = np.random.default_rng(seed).permutation(rows)
    edges = np.round(np.cumsum(shares) / np.sum(shares) * len(rows)).astype(int)
    parts = np.split(dealt, edges[:-1])
    return [part if len(part) else rows[:1] for part in parts]


def interleave(shares: Sequence[float], length: int = 10_000) -> NDArray[np.int64]:
    """(length,) whose turn it is: every index as often as its share says, evenly spread.

    >>> interleave([2, 1, 1], 4).tolist()
    [0, 1, 2, 0]
    """
    counts = np.diff(np.round(np.cumsum([0.0, *shares]) / sum(shares) * length)).astype(int)
    places = np.concatenate([(np.arange(count) + 0.5) / count for count in counts if count])
    return np.repeat(np.arange(len(counts)), counts)[np.argsort(places, kind="stable")]
