"""Nodes of a data set by protocol: pools of rows to train and validate on, and the rows that only test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.data import load
from benchmarks.quality.paper1.inputs import STREAMS, Timing, timing, widened, windowed
from streamgauge.errors import ConfigurationError
from streamgauge.evaluation.nodes import dirichlet_nodes
from streamgauge.evaluation.splits import Rows, distinct_rows
from streamgauge.profiles.loaders.ciciot2023 import family_of
from streamgauge.profiles.loaders.records import encoded
from streamgauge.profiles.loaders.table import Table
from streamgauge.profiles.loaders.ton_iot import DEVICES
from streamgauge.profiles.profile import load_profile
from streamgauge.simulation import Client, Examples, Space

Kind = Literal["random", "strict"]
NODES = 5
FIXED = 7
"""Seed of what no run's seed changes: which rows test, and which node has them."""
EARLIER = 0.6
"""Share of the rows since the first abnormal one that are earlier than the test."""
TEST_SHARE = 0.25
"""Of each node's rows, in the random split."""
MOST_TEST = 10_000
MOST_SERIES = 20_000
"""Test rows of a stream that is tested in order of time; beyond it every k-th row."""
ALPHA = 0.5
"""Of the Dirichlet distribution of CICIoT2023's families over the nodes."""
TRAIN_SHARE = 0.75
"""Of a node's rows of a class that do not test; the rest validates."""
UNSEEN = ("BruteForce", "Malware", "Uploading", "WebAttack")
"""Families of CICIoT2023 that the strict training lacks."""


@dataclass(frozen=True)
class Sizes:
    """Most rows of a node: (normal, abnormal)."""

    train: tuple[int, int] = (500, 250)
    validation: tuple[int, int] = (250, 100)


@dataclass(frozen=True, eq=False)
class Pools:
    """A data set under a protocol.

    Attributes:
        x, y, types: of all rows, encoded; earlier rows first where they have times.
        nodes: rows of each node that train and validate, in order.
        tests: rows that test: of each node, or one for all.
        space: the public encoding.
        ordered: whether validation rows are later than training rows.
        timing: of the rows, where all later rows of a stream are one test; None elsewhere.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    types: NDArray[np.object_]
    nodes: tuple[Rows, ...]
    tests: tuple[Rows, ...]
    space: Space
    ordered: bool
    timing: Timing | None = None

    def clients(self, sizes: Sizes, seed: int) -> list[Client]:
        """Rows drawn for one run; no test rows among them."""
        generator = np.random.default_rng([seed, FIXED])
        empty = self._take(np.empty(0, np.int64))
        clients = []
        for number, pool in enumerate(self.nodes):
            train, validation = [], []
            for value in (0, 1):
                rows = pool[self.y[pool] == value]
                rows = rows if self.ordered else generator.permutation(rows)
                cut = round(TRAIN_SHARE * len(rows))
                train.append(generator.permutation(rows[:cut])[: sizes.train[value]])
                validation.append(generator.permutation(rows[cut:])[: sizes.validation[value]])
            drawn, held = (self._take(np.sort(np.concatenate(part))) for part in (train, validation))
            clients.append(Client(f"node-{number + 1}", drawn, held, empty))
        return clients

    def _take(self, rows: Rows) -> Examples:
        return Examples(self.x[rows], self.y[rows])


def pools(name: str, kind: Kind, data: Path) -> Pools:
    """A data set's nodes; read once a process.

    Raises:
        ConfigurationError: too few rows, or of one class only.
    """
    return _pools(name, kind, data)


@lru_cache(maxsize=4)
def _pools(name: str, kind: Kind, data: Path) -> Pools:
    table, types = _TABLES.get(name, _stream)(name, data)
    x, y = encoded(table, load_profile(table.name)), table.labels
    if not (y == 0).any() or not (y == 1).any():
        raise ConfigurationError(
            f"{name}: {int((y == 0).sum())} normal and {int((y == 1).sum())} abnormal rows; both are needed: give "
            "the files with attacks too"
        )
    parted = _strict(name, table, y, types) if kind == "strict" else _random(name, y, types)
    nodes, tests = ([np.sort(rows) for rows in part] for part in parted)
    _check(name, kind, y, nodes, tests)
    ordered = kind == "strict" and name != "ciciot2023"
    space, when = Space.of(load_profile(table.name).schema), None
    if name in STREAMS:
        x, space = windowed(x, table.sources, STREAMS[name]), widened(space, STREAMS[name])
    if name in STREAMS and kind == "strict":
        thinned = -(-len(tests[0]) // MOST_SERIES)
        tests, when = [tests[0][::thinned]], timing(name, table, thinned)
    else:
        generator = np.random.default_rng(FIXED)
        tests = [np.sort(generator.permutation(rows)[: MOST_TEST // len(tests)]) for rows in tests]
    return Pools(x, y, types, tuple(nodes), tuple(tests), space, ordered, when)


def _check(name: str, kind: Kind, y: NDArray[np.float32], nodes: Sequence[Rows], tests: Sequence[Rows]) -> None:
    short = [i + 1 for i, rows in enumerate(nodes) if (y[rows] == 0).sum() < 4]
    if short or not any((y[rows] == 1).any() for rows in nodes) or any(not (y[r] == 0).any() for r in tests):
        raise ConfigurationError(f"{name}, {kind}: nodes {short} or the test rows lack a class; give more rows")


def _stream(name: str, data: Path) -> tuple[Table, NDArray[np.object_]]:
    """Labelled rows in order of time."""
    table = load(name, data)
    table = table.take(np.argsort(table.times, kind="stable"))
    table = table.take(~np.isnan(table.labels))
    return table, np.array([kind.split("/")[0] for kind in table.attack_types.tolist()], object)


def _ciciot(name: str, data: Path) -> tuple[Table, NDArray[np.object_]]:
    """Each record once, types by family."""
    table = load(name, data)
    table = table.take(distinct_rows([*table.columns.values(), table.labels]))
    return table, np.array([family_of(kind) for kind in table.attack_types.tolist()], object)


def _ton(name: str, data: Path) -> tuple[Table, NDArray[np.object_]]:
    """Each record of a device once, the first time it came."""
    table = load(name, data)
    table = table.take(np.argsort(table.times, kind="stable"))
    table = table.take(distinct_rows([*table.columns.values(), table.labels]))
    return table, table.attack_types


_TABLES: dict[str, Callable[[str, Path], tuple[Table, NDArray[np.object_]]]] = {
    "ciciot2023": _ciciot,
    **{f"ton-iot-{device}": _ton for device in DEVICES},
}


def _blocks(rows: Rows) -> list[Rows]:
    return [part.astype(np.int64) for part in np.array_split(rows, NODES)]


def _joined(normal: Rows, abnormal: Rows) -> list[Rows]:
    """Node i has the i-th block of each class."""
    return [np.concatenate(parts) for parts in zip(_blocks(normal), _blocks(abnormal), strict=True)]


def _families(types: NDArray[np.object_], normal: Rows, abnormal: Rows) -> list[Rows]:
    """Families shared out unequally; normal rows evenly, at random."""
    unequal = [abnormal[part] for part in dirichlet_nodes(types[abnormal], NODES, ALPHA, FIXED, min_rows=200)]
    shuffled = np.random.default_rng(FIXED).permutation(normal)
    return [np.concatenate(parts) for parts in zip(_blocks(shuffled), unequal, strict=True)]


def _strict(
    name: str, table: Table, y: NDArray[np.float32], types: NDArray[np.object_]
) -> tuple[Sequence[Rows], Sequence[Rows]]:
    """Later rows test; of CICIoT2023, which has no times, families that no node trains on."""
    normal, abnormal = np.flatnonzero(y == 0), np.flatnonzero(y == 1)
    if name == "ciciot2023":
        normal = np.random.default_rng(FIXED).permutation(normal)
        kept, held = np.split(normal, [round((1 - TEST_SHARE) * len(normal))])
        unseen = np.isin(types, UNSEEN)
        known = np.flatnonzero((y == 1) & np.isin(types, list(KNOWN)))
        return _families(types, kept, known), [np.append(held, np.flatnonzero(unseen))]
    if name.startswith("ton-iot"):
        early, late = np.split(normal, [round(0.8 * len(normal))])
        seen, unseen_rows = np.split(abnormal, [round(EARLIER * len(abnormal))])
        return _joined(early, seen), [np.append(late, unseen_rows)]
    if name == "batadal":
        test = np.array(["test" in str(source).lower() for source in table.sources.tolist()])
        return _blocks(np.flatnonzero(~test)), [np.flatnonzero(test)]
    cut = abnormal[0] + round(EARLIER * (len(y) - abnormal[0]))
    return _blocks(np.arange(cut)), [np.arange(cut, len(y))]


KNOWN = ("DDoS", "DoS", "Mirai", "Recon", "Spoofing")
"""Families of CICIoT2023 that the strict training has."""


def _random(
    name: str, y: NDArray[np.float32], types: NDArray[np.object_]
) -> tuple[Sequence[Rows], Sequence[Rows]]:
    """The same nodes over all rows, and a quarter of each drawn at random to test."""
    everything = np.arange(len(y))
    if name == "ciciot2023":
        nodes = _families(types, np.flatnonzero(y == 0), np.flatnonzero(y == 1))
    elif name.startswith("ton-iot"):
        nodes = _joined(np.flatnonzero(y == 0), np.flatnonzero(y == 1))
    else:
        nodes = _blocks(everything)
    generator = np.random.default_rng(FIXED)
    split = [np.split(generator.permutation(rows), [round(TEST_SHARE * len(rows))]) for rows in nodes]
    return [rest for _, rest in split], [test for test, _ in split]
