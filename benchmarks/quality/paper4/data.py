"""The three networks of paper 4: NSL-KDD (A), KDD-99 (B), UNSW-NB15 (C); drawn, split, prepared."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.data import load
from benchmarks.quality.paper4.preparing import Preparation, prepared
from streamgauge.evaluation.baselines.base import Labels, Matrix
from streamgauge.evaluation.splits import Rows, distinct_rows
from streamgauge.profiles.loaders.records import encoded
from streamgauge.profiles.profile import load_profile

TRAIN, TEST = 10_000, 10_000
"""Records drawn at random to train and to test on: so that the table takes minutes on one core."""
RESERVED = 12_000
"""Records of each network that no seed trains or tests on: for tuning, and to start a model warm."""
MOST_HEADLINE = 25_000
"""Records of an official test file; of a longer one so many drawn at random, the same for all seeds."""
_RESERVE_SEED = 2026


@dataclass(frozen=True)
class Network:
    """A data set.

    Attributes:
        data: its name.
        title: as printed.
        files: to draw from.
        headline: the official test file; "" if it is not at hand.
    """

    data: str
    title: str
    files: str
    headline: str


NETWORKS = {
    "nsl": Network("nsl-kdd", "NSL-KDD (network A)", "KDDTrain+.txt*", "KDDTest+.txt*"),
    "kdd99": Network("kdd99", "KDD-99 (network B)", "kddcup.data_10_percent*", "corrected*"),
    "unsw": Network("unsw-nb15", "UNSW-NB15 (network C)", "*", ""),
}


class Part(NamedTuple):
    """Rows of one role: x (n, d), labels y (n,) 0 or 1, and attack types (n,) as their owner spells them."""

    x: Matrix
    y: Labels
    kinds: NDArray[np.object_]

    def take(self, rows: NDArray[Any]) -> Part:
        """Some of them."""
        return Part(self.x[rows], self.y[rows], self.kinds[rows])


@dataclass(frozen=True, eq=False)
class Drawn:
    """Prepared rows of one seed; no record is in two parts.

    Attributes:
        train, test: drawn at random from the same file.
        reserved: rows that no seed trains or tests on.
        headline: the official test file, each record once; None where there is none.
    """

    train: Part
    test: Part
    reserved: Part
    headline: Part | None


@lru_cache(maxsize=6)
def _encoded(data: str, files: str, directory: Path) -> Part:
    table = load(data, directory, () if files == "*" else (files,))
    rows: Rows = distinct_rows([*table.columns.values(), table.labels])
    table = table.take(rows)
    return Part(encoded(table, load_profile(data)), table.labels, table.attack_types)


@lru_cache(maxsize=2)
def drawn(
    key: str, directory: Path, seed: int, count: int = TRAIN, preparation: Preparation = "standardised"
) -> Drawn:
    """Draw `count` training rows, and test rows that are the same for every count; prepare by the former."""
    part, reserved, others = _divided(key, directory)
    order = others[np.random.default_rng(seed).permutation(len(others))]
    test = order[TRAIN : TRAIN + TEST]
    train = np.concatenate([order[:TRAIN], order[TRAIN + TEST :]])[:count]
    network = NETWORKS[key]
    later = _encoded(network.data, network.headline, directory) if network.headline else None
    if later is not None:
        kept = np.random.default_rng(_RESERVE_SEED).permutation(len(later.y))[:MOST_HEADLINE]
        later = later.take(np.sort(kept))
    return _prepared(key, preparation, (part.take(train), part.take(test), part.take(reserved), later))


def drawn_to_tune(key: str, directory: Path, seed: int, count: int, preparation: Preparation) -> Drawn:
    """`count` of the reserved rows to train, the others to test; no row of `drawn`'s parts is among them."""
    part, reserved, _ = _divided(key, directory)
    order = reserved[np.random.default_rng(seed).permutation(len(reserved))]
    train, test = part.take(order[:count]), part.take(order[count:])
    return _prepared(key, preparation, (train, test, part.take(order[:0]), None))


def _divided(key: str, directory: Path) -> tuple[Part, Rows, Rows]:
    """All records of a network, the reserved rows and the others."""
    network = NETWORKS[key]
    part = _encoded(network.data, network.files, directory)
    fixed = np.random.default_rng(_RESERVE_SEED).permutation(len(part.y))
    return part, fixed[:RESERVED], fixed[RESERVED:]


def _prepared(key: str, preparation: Preparation, parts: tuple[Part, Part, Part, Part | None]) -> Drawn:
    apply = prepared(preparation, parts[0].x, load_profile(NETWORKS[key].data).schema)
    train, test, reserved = (part._replace(x=apply(part.x)) for part in parts[:3])
    later = parts[3]
    return Drawn(train, test, reserved, later._replace(x=apply(later.x)) if later else None)


def parts_of(rows: Part, clients: int, seed: int) -> list[Part]:
    """Rows to clients at random, equally many each."""
    order: NDArray[np.int64] = np.random.default_rng(seed).permutation(len(rows.y))
    return [rows.take(own) for own in np.array_split(order, clients)]
