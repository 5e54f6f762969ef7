"""The edge node's chain over recorded data: decode, impute, score, group to alerts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.backtest.records import records_of
from services.edge_node.scored import ScoringSteps
from services.edge_node.scorer import Scorer
from services.edge_node.settings import EdgeSettings
from streamgauge.profiles.loaders.table import Table
from streamgauge.profiles.profile import Profile
from streamgauge.stream.alerts import AlertChange
from streamgauge.stream.context import PartitionContext
from streamgauge.stream.grouping import GroupingPolicy, ScoredBatch

POLL = 500
"""Records at once, as a node polls them; where batches end decides nothing."""
_EXPLAINED = 100
"""Worst records of a poll that are explained."""


@dataclass(frozen=True)
class Run:
    """What the chain made of n records.

    Attributes:
        scores: (n,) raw score / threshold; NaN where a record was rejected.
        alerts: closed ones, in the order in which they opened.
        rejected: reason -> records.
        shares: (m, features) share of each feature in the score of some abnormal records, the worst of each poll.
        explained: (m,) their rows.
    """

    scores: NDArray[np.float64]
    alerts: list[AlertChange]
    rejected: Counter[str]
    shares: NDArray[np.float64]
    explained: NDArray[np.int64]


def run_chain(
    table: Table, profile: Profile, scorer: Scorer, policy: GroupingPolicy, done: Callable[[int], None]
) -> Run:
    """Score all rows as one partition of a topic; `done` is told how many were.

    Only what a label says is never read.
    """
    assert scorer.threshold is not None
    # The chain needs two of a node's settings; there is no cluster to name.
    settings = EdgeSettings.model_construct(learn_labels=False, max_ahead_s=math.inf)
    steps = ScoringSteps(settings, profile)
    context = PartitionContext.fresh("backtest", 0, policy, max(10_000, len(set(table.entities.tolist()))))
    scores = np.full(len(table), np.nan)
    alerts: list[AlertChange] = []
    rejected: Counter[str] = Counter()
    shares, explained = [], []
    for first in range(0, len(table), POLL):
        part = table.take(np.arange(first, min(first + POLL, len(table))))
        parts, crashed = steps.run(records_of(part, profile, first), context, scorer)
        rejected["crashed"] += len(crashed)
        for scored in parts:
            rejected.update(each.reason for each in scored.decoded.rejected)
            relative = scored.raw / scorer.threshold
            scores[scored.offsets] = relative
            batch = ScoredBatch(
                scored.decoded.times,
                scored.decoded.entities,
                relative,
                scored.raw,
                scored.offsets,
                np.zeros(len(relative), np.int64),
            )
            alerts += [c for c in context.grouper.step(batch, _nothing) if c.state == "closed"]
            worst = np.argsort(-relative, kind="stable")[:_EXPLAINED]
            worst = worst[relative[worst] >= 1.0]
            if len(worst):
                forecasts = None if scored.forecasts is None else scored.forecasts[worst]
                shares.append(scorer.explain(scored.x[worst], forecasts))
                explained.append(scored.offsets[worst])
        done(len(part))
    alerts += context.grouper.close_all()
    features = len(profile.numeric) + len(profile.categorical)
    return Run(
        scores,
        sorted(alerts, key=lambda change: change.first.offset),
        +rejected,
        np.concatenate(shares) if shares else np.empty((0, features)),
        np.concatenate(explained) if explained else np.empty(0, np.int64),
    )


def _nothing(_: int) -> dict[str, Any]:
    return {}
