"""Non-IID nodes: rows by a Dirichlet distribution over a column, features by groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamgauge.errors import ConfigurationError
from streamgauge.evaluation.splits import Column, Rows, by_value

_TRIES = 1000


def dirichlet_nodes(column: Column, nodes: int, alpha: float, seed: int, *, min_rows: int = 1) -> tuple[Rows, ...]:
    """Rows to nodes: each value of a column is shared out in proportions drawn from Dirichlet(alpha).

    The smaller `alpha`, the less alike the nodes; above about 100 they are nearly alike. A row goes to one node.

    Args:
        column: (n,) e.g. ``Table.columns["service"]`` or attack types.
        nodes: number of nodes.
        alpha: concentration, above 0.
        seed: same seed, same nodes.
        min_rows: drawn again, up to 1,000 times, until every node has as many.
    Returns:
        Rising row numbers of every node.
    Raises:
        ConfigurationError: too few rows, or no draw gave every node enough.
    """
    if nodes < 1 or not alpha > 0 or nodes * min_rows > len(column):
        raise ConfigurationError(
            f"{nodes} nodes, alpha {alpha}, {min_rows} of {len(column)} rows each; alpha must be above 0, and "
            "the rows enough: ask for fewer nodes"
        )
    generator = np.random.default_rng(seed)
    groups = list(by_value(column).values())
    for _ in range(_TRIES):
        shared: list[list[Rows]] = [[] for _ in range(nodes)]
        for rows in groups:
            ends = np.cumsum(generator.dirichlet(np.full(nodes, alpha)))[:-1]
            parts = np.split(generator.permutation(rows), np.round(ends * len(rows)).astype(np.int64))
            for node, part in zip(shared, parts, strict=True):
                node.append(part)
        joined = tuple(np.sort(np.concatenate(parts)) for parts in shared)
        if min(map(len, joined)) >= min_rows:
            return joined
    raise ConfigurationError(
        f"Dirichlet({alpha}) gave {nodes} nodes at least {min_rows} rows in none of {_TRIES} draws; "
        "raise alpha, or ask for fewer nodes or rows"
    )


@dataclass(frozen=True, slots=True)
class FeatureGroup:
    """The features of one node, in the order of the data set.

    Attributes:
        shared: on every node.
        private: on this one only.
    """

    shared: tuple[str, ...]
    private: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Shared features first."""
        return (*self.shared, *self.private)


def feature_groups(
    names: Sequence[str], nodes: int, shared: int | Sequence[str], seed: int
) -> tuple[FeatureGroup, ...]:
    """Features to nodes: some on all of them, the others parted so that each node has its own.

    Args:
        names: all features.
        nodes: number of nodes.
        shared: how many are shared (drawn at random), or which.
        seed: same seed, same groups.
    Raises:
        ConfigurationError: a shared name is unknown, or there are too few others for every node to have one.
    """
    generator = np.random.default_rng(seed)
    chosen = set(generator.permutation(np.array(names, object))[:shared] if isinstance(shared, int) else shared)
    others = [name for name in names if name not in chosen]
    if unknown := sorted(chosen - set(names)):
        raise ConfigurationError(f"shared features {', '.join(unknown)} are not among {', '.join(names)}")
    if nodes < 1 or len(others) < nodes or len(set(names)) != len(names):
        raise ConfigurationError(
            f"{len(others)} private of {len(names)} features for {nodes} nodes; every node needs one of its own "
            "and names must differ: share fewer features"
        )
    parts = np.array_split(generator.permutation(len(others)), nodes)
    common = tuple(name for name in names if name in chosen)
    return tuple(FeatureGroup(common, tuple(others[i] for i in sorted(part.tolist()))) for part in parts)
