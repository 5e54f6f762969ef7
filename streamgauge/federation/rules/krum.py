"""Krum: the one update that most others are near to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamgauge.config import read_config
from streamgauge.federation.nearest import check_hostile, hostile_among, nearest
from streamgauge.federation.rules_base import RULES, Facts, Vector, check_updates


@dataclass(frozen=True)
class KrumConfig:
    """Settings of Krum.

    Attributes:
        hostile: nodes that may lie, f. A round with fewer than 2 f + 3 updates then fails. None: (n - 3) // 2 of n
            updates, which is none of fewer than five.
    """

    hostile: int | None = None

    def __post_init__(self) -> None:
        check_hostile("krum", self.hostile)


@RULES.register("krum")
def krum(updates: Vector, counts: Vector, config: Mapping[str, Any], facts: Facts | None = None) -> Vector:
    """Take the update with the smallest sum of squared distances to its n - f - 2 nearest others (Blanchard et al.
    2017).

    Every node counts alike. Equal scores are averaged, which is ours: no name or order decides. With f hostile
    nodes, honest updates within r of some point, and n >= 2 f + 3, the result is within
    ``r + 2 r sqrt((n - f - 2) / (n - 2 f - 1))`` of that point (ours, by counting honest neighbours).

    Args:
        updates: (n, d) float64 deltas, not weights, to the common base. Not modified.
        counts: (n,) float64 records behind each, capped; only checked.
        config: of `KrumConfig`.
        facts: of the updates; not used.
    Returns:
        (d,) float64. Cost O(n^2 d).
    Raises:
        ValueError: no updates, not finite ones, or no records.
        ConfigurationError: unknown settings, or more hostile nodes than so few updates can stand.
    Fails when: more than f nodes collude; or the honest nodes' data differ much: those of the others never have a
        say then. All but one of the updates are thrown away, so that it learns more slowly than `multi_krum`. One
        or two nodes: it is the mean. Three or four: f is 0 and nobody is held off.

    >>> krum(np.array([[1.0], [2.0], [4.0], [8.0], [-1e9]]), np.ones(5), {"hostile": 1}).tolist()
    [2.0]
    """
    settings = read_config("rule", "krum", KrumConfig, config)
    check_updates(updates, counts)
    hostile = hostile_among("krum", settings.hostile, len(updates))
    chosen: Vector = np.mean(nearest(updates, hostile, 1), axis=0)
    return chosen
