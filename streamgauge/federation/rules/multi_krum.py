"""Multi-Krum: the mean of the updates that most others are near to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamgauge.config import is_whole, read_config
from streamgauge.errors import ConfigurationError
from streamgauge.federation.nearest import check_hostile, hostile_among, nearest
from streamgauge.federation.rules_base import RULES, Facts, Vector, check_updates


@dataclass(frozen=True)
class MultiKrumConfig:
    """Settings of Multi-Krum.

    Attributes:
        hostile: nodes that may lie, f, as for `krum`.
        keep: updates to average, from 1 to n - f of n. None: n - f.
    """

    hostile: int | None = None
    keep: int | None = None

    def __post_init__(self) -> None:
        check_hostile("multi_krum", self.hostile)
        if not (self.keep is None or is_whole(self.keep, 1)):
            raise ConfigurationError(
                f"rule 'multi_krum': keep={self.keep!r} must be a whole number of updates from 1; "
                "leave it out for all but the hostile ones"
            )

    def kept(self, nodes: int, hostile: int) -> int:
        """Updates to average.

        Raises:
            ConfigurationError: `keep` would let hostile ones in.
        """
        most = nodes - hostile
        if self.keep is not None and self.keep > most:
            raise ConfigurationError(
                f"rule 'multi_krum': keep={self.keep} of {nodes} updates with {hostile} hostile; at most {most}: "
                "lower it, raise min_nodes or quorum, or leave it out"
            )
        return self.keep or most


@RULES.register("multi_krum")
def multi_krum(updates: Vector, counts: Vector, config: Mapping[str, Any], facts: Facts | None = None) -> Vector:
    """Average the `keep` updates with the best Krum scores (Blanchard et al. 2017).

    Every node counts alike; updates with scores equal to the last one kept are kept as well, which is ours. The
    bound of `krum` holds for each update kept, and so for the mean: at least n - f honest scores are below what an
    update beyond the bound has.

    Args:
        updates: (n, d) float64 deltas, not weights, to the common base. Not modified.
        counts: (n,) float64 records behind each, capped; only checked.
        config: of `MultiKrumConfig`.
        facts: of the updates; not used.
    Returns:
        (d,) float64. Cost O(n^2 d).
    Raises:
        ValueError: no updates, not finite ones, or no records.
        ConfigurationError: unknown settings, or more hostile nodes or more to keep than so few updates allow.
    Fails when: more than f nodes collude; or a few honest nodes have data unlike the others': their updates are
        the first to be dropped. Fewer than five nodes: f is 0 and it is the mean.

    >>> multi_krum(np.array([[1.0], [2.0], [4.0], [8.0], [-1e9]]), np.ones(5), {"hostile": 1}).tolist()
    [3.75]
    """
    settings = read_config("rule", "multi_krum", MultiKrumConfig, config)
    check_updates(updates, counts)
    hostile = hostile_among("multi_krum", settings.hostile, len(updates))
    mean: Vector = np.mean(nearest(updates, hostile, settings.kept(len(updates), hostile)), axis=0)
    return mean
