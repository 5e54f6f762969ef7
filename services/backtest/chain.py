"""The edge node's chain over recorded data: decode, pivot or wait, impute, score, group to alerts."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.backtest.records import records_of
from services.edge_node.node import steps_of
from services.edge_node.scored import Scored
from services.edge_node.scorer import Scorer
from services.edge_node.settings import EdgeSettings
from streamgauge.profiles.loaders.table import Table
from streamgauge.profiles.profile import Profile
from streamgauge.stream.alerts import AlertChange
from streamgauge.stream.context import PartitionContext
from streamgauge.stream.grouping import GroupingPolicy, ScoredBatch

POLL = 500
"""Rows at once, as a node polls messages; where batches end decides nothing."""
_EXPLAINED = 100
"""Worst records of a poll that are explained."""


class Truth(NamedTuple):
    """What the data say of n rows: number among the rows read, label and attack type as in `Table`."""

    rows: NDArray[np.int64]
    labels: NDArray[np.float32]
    kinds: NDArray[np.object_]


@dataclass(frozen=True)
class Piece:
    """What the chain made of n records.

    Attributes:
        truth: of each; of one tag a message that of the record's last one.
        times, entities: (n,) as decoded.
        x: (n, width) float32, encoded; NaN = masked.
        scores: (n,) raw score / threshold; NaN without a model.
        shares: (m, features) share of each feature in the score of some abnormal records, the worst of each poll.
        explained: (m,) which of the n they are.
        alerts: those that closed.
    """

    truth: Truth
    times: NDArray[np.float64]
    entities: Sequence[str]
    x: NDArray[np.float32]
    scores: NDArray[np.float64]
    shares: NDArray[np.float64]
    explained: NDArray[np.int64]
    alerts: Sequence[AlertChange]


@dataclass(frozen=True)
class Poll:
    """What became of some rows: records that were scored, and reason -> rejected messages."""

    pieces: Sequence[Piece]
    rejected: Counter[str] = field(default_factory=Counter)


class _Rows:
    """Rows behind the offsets of messages, as long as an open tick or a waiting record may ask for them."""

    def __init__(self) -> None:
        self._parts: deque[tuple[int, Truth]] = deque()

    def add(self, first: int, truth: Truth) -> None:
        """Element i is of the message with the offset `first` + i."""
        self._parts.append((first, truth))

    def forget(self, before: int) -> None:
        while self._parts and self._parts[0][0] + len(self._parts[0][1].rows) <= before:
            self._parts.popleft()

    def of(self, offsets: NDArray[np.int64]) -> Truth:
        begin = self._parts[0][0]
        columns = zip(*(truth for _, truth in self._parts), strict=True)
        rows, labels, kinds = (np.concatenate(column)[offsets - begin] for column in columns)
        return Truth(rows, labels, kinds)


class Chain:
    """One partition's records through a node's steps.

    Only what a label says is never read; memory is that of a partition's context and does not grow with the rows.

    Args:
        profile: of the records.
        scorer: None: nothing is scored, records are only made.
        policy: of the alerts.
    """

    def __init__(self, profile: Profile, scorer: Scorer | None, policy: GroupingPolicy) -> None:
        # The chain needs few of a node's settings; there is no cluster to name.
        settings = EdgeSettings.model_construct(learn_labels=False, max_ahead_s=math.inf)
        self._profile, self._scorer = profile, scorer
        self._steps = steps_of(settings, profile)
        self._context = PartitionContext.fresh("backtest", 0, policy)
        self._rows = _Rows()
        self._read = self._offset = 0
        self._features = len(profile.numeric) + len(profile.categorical)

    def polls(self, tables: Iterable[Table]) -> Iterator[Poll]:
        """All rows, and in the end what was still open."""
        for table in tables:
            for low in range(0, len(table), POLL):
                yield self._poll(table.part(low, min(low + POLL, len(table))))
        parts, _ = self._steps.rest(self._context, self._scorer)
        pieces = [self._piece(scored) for scored in parts if len(scored.raw)]
        yield Poll([*pieces, self._ended()])

    def _poll(self, table: Table) -> Poll:
        records, rows = records_of(table, self._profile, self._offset)
        self._rows.add(self._offset, Truth(self._read + rows, table.labels[rows], table.attack_types[rows]))
        self._offset, self._read = self._offset + len(records), self._read + len(table)
        parts, crashed = self._steps.run(records, self._context, self._scorer)
        self._context.next_offset = self._offset
        rejected = Counter(each.reason for scored in parts for each in scored.decoded.rejected)
        if crashed:
            rejected["crashed"] += len(crashed)
        pieces = [self._piece(scored) for scored in parts if len(scored.raw)]
        self._rows.forget(self._context.low_watermark)
        return Poll(pieces, rejected)

    def _piece(self, scored: Scored) -> Piece:
        decoded, scorer = scored.decoded, self._scorer
        threshold = scorer.threshold if scorer else None
        scores = scored.raw / (threshold or math.nan)
        shares, worst = np.empty((0, self._features)), np.empty(0, np.int64)
        alerts: list[AlertChange] = []
        if scorer and threshold is not None:
            no_rows = np.zeros(len(scores), np.int64)
            batch = ScoredBatch(decoded.times, decoded.entities, scores, scored.raw, scored.offsets, no_rows)
            alerts = [c for c in self._context.grouper.step(batch, _nothing) if c.state == "closed"]
            worst = np.argsort(-scores, kind="stable")[:_EXPLAINED]
            worst = worst[scores[worst] >= 1.0]
            if len(worst):
                forecasts = None if scored.forecasts is None else scored.forecasts[worst]
                shares = scorer.explain(scored.x[worst], forecasts)
        truth = self._rows.of(scored.offsets)
        return Piece(truth, decoded.times, decoded.entities, scored.x, scores, shares, worst, alerts)

    def _ended(self) -> Piece:
        """No records, but the alerts that were still open."""
        nothing = np.empty(0, np.int64)
        truth = Truth(nothing, np.empty(0, np.float32), np.empty(0, object))
        width, closed = self._profile.schema.width, self._context.grouper.close_all()
        x, shares = np.empty((0, width), np.float32), np.empty((0, self._features))
        return Piece(truth, np.empty(0), [], x, np.empty(0), shares, nothing, closed)


def _nothing(_: int) -> dict[str, Any]:
    return {}
