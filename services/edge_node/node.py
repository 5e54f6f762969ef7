"""What the node does with records: decode, impute, score, group, learn. No Kafka and no clock in here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.edge_node.alerts import AlertWriter, worst_payload
from services.edge_node.dead_letters import dead_letter
from services.edge_node.poison import PoisonGuard, Records, bisect
from services.edge_node.scorer import Scorer
from services.edge_node.settings import EdgeSettings
from services.runtime.log import LogRecord, Outgoing, Partition
from streamgauge.profiles.decoder import Decoded, Decoder
from streamgauge.profiles.imputing import Imputed, Imputer
from streamgauge.profiles.profile import Profile
from streamgauge.stream.alerts import AlertChange
from streamgauge.stream.context import PartitionContext
from streamgauge.stream.grouping import ScoredBatch
from streamgauge.stream.learning import Learner, Settled

Changes = list[tuple[Partition, str, AlertChange]]
LedgerEntry = Callable[[Partition, NDArray[np.int64], NDArray[np.float64]], None]


@dataclass
class Counts:
    """Totals since the checkpoint's node began; they survive restarts with it."""

    scored: int = 0
    abnormal: int = 0
    alerts: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    imputed: Counter[tuple[str, str]] = field(default_factory=Counter)


class Ledger:
    """Told of every scored record and of every decision to learn from it; does nothing but in tests."""

    def scored(self, partition: Partition, offsets: NDArray[np.int64], scores: NDArray[np.float64]) -> None:
        """Records of one partition were scored."""

    def settled(self, settled: Sequence[Settled]) -> None:
        """Quarantined buckets were learned or dropped."""


class Node:
    """The state that records change, and the step that changes it.

    Args:
        settings: of the node.
        profile: of its source.
        learner: quarantine, reservoir and moments.
        guard: against records that crash the scorer.
        writer: makes alert messages.
        ledger: for tests.
    """

    def __init__(
        self,
        settings: EdgeSettings,
        profile: Profile,
        learner: Learner,
        guard: PoisonGuard,
        writer: AlertWriter,
        ledger: Ledger,
    ) -> None:
        self.scorer: Scorer | None = None
        self.counts = Counts()
        self.first_time: float | None = None
        """Event time of the first record."""
        self.watermark: float | None = None
        """Latest event time seen."""
        self.learner = learner
        self._settings, self._guard, self._writer, self._ledger = settings, guard, writer, ledger
        self._schema = profile.schema
        self._decoder = Decoder(profile, learn_labels=settings.learn_labels, max_ahead_s=settings.max_ahead_s)
        self._imputer = Imputer(profile)
        self._dead_letters = f"{settings.topic_prefix}dead-letters"

    def step(self, records: Records, contexts: Mapping[Partition, PartitionContext], now: float) -> list[Outgoing]:
        """Handle records; returns all that must be acknowledged before they count as handled.

        Args:
            records: by partition, in log order.
            contexts: of these partitions; changed.
            now: monotonic time in seconds, for the cap on explanations.
        """
        out: list[Outgoing] = []
        changes: Changes = []
        for partition, batch in records.items():
            context = contexts[partition]
            innocent = batch
            if not self._guard.calm:
                innocent = [r for r in batch if not self._guard.condemned(r)]
                out += [
                    self._reject(r, "crashed", "crashed the scorer") for r in batch if self._guard.condemned(r)
                ]
            if innocent:
                with self._guard.marked({partition: innocent}):
                    parts, failed = bisect(self._decoder.decode, innocent)
                    out += [self._reject(innocent[i], "crashed", why) for i, why in failed]
                    for start, decoded in parts:
                        part = innocent[start:]
                        out += [self._reject(part[r.position], r.reason, r.detail) for r in decoded.rejected]
                        new, crashed = self._score(partition, context, decoded, part)
                        changes += new
                        out += crashed
            self._learn(partition, context)
        if changes:
            out += self._writer.write(changes, self.scorer, now)
            self.counts.alerts += sum(change.state == "opened" for _, _, change in changes)
        return out

    def end(self, partition: Partition, context: PartitionContext, now: float) -> list[Outgoing]:
        """The partition's log was replaced: the last messages of its open alerts; its quarantine is dropped."""
        self.learner.forget(str(partition))
        changes = [(partition, context.topic_incarnation, change) for change in context.grouper.close_all()]
        return self._writer.write(changes, self.scorer, now)

    @property
    def unexplained(self) -> int:
        """Alert messages sent without explanation because of the cap."""
        return self._writer.unexplained

    def learning_left_s(self) -> float:
        """Event time until alerts may start."""
        if self.first_time is None or self.watermark is None:
            return self._settings.learning.warm_up_s
        return max(0.0, self._settings.learning.warm_up_s - (self.watermark - self.first_time))

    @property
    def alerting(self) -> bool:
        """Whether abnormal records become alerts now: calibrated, and warmed up unless the bundle is pinned."""
        if self.scorer is None or self.scorer.threshold is None:
            return False
        return self._settings.pinned_bundle is not None or self.learning_left_s() == 0

    def _reject(self, record: LogRecord, reason: str, detail: str) -> Outgoing:
        self.counts.rejected[reason] += 1
        return dead_letter(self._dead_letters, self._settings.node, record, reason, detail)

    def _score(
        self, partition: Partition, context: PartitionContext, decoded: Decoded, records: Sequence[LogRecord]
    ) -> tuple[Changes, list[Outgoing]]:
        if not len(decoded):
            return [], []
        imputed = self._imputer.impute(decoded, context.last_values)
        self.counts.imputed.update(imputed.counts)
        x = imputed.encode(self._schema)
        raw, poisoned = self._raw_scores(x)
        out = [self._reject(records[int(decoded.good[i])], "crashed", why) for i, why in poisoned]
        batch = _Scored(decoded, imputed, x, raw, np.array([records[i].offset for i in decoded.good], np.int64))
        if poisoned:
            batch = batch.without([i for i, _ in poisoned])
        return self._take(partition, context, batch), out

    def _raw_scores(self, x: NDArray[np.float32]) -> tuple[NDArray[np.float64], list[tuple[int, str]]]:
        """(n,) raw scores, NaN where there is no model yet or the row crashed, and the rows that crashed."""
        raw = np.full(len(x), np.nan)
        if self.scorer is None:
            return raw, []
        parts, failed = bisect(self.scorer.raw_scores, x)
        for start, scores in parts:
            raw[start : start + len(scores)] = scores
        return raw, failed

    def _take(self, partition: Partition, context: PartitionContext, batch: _Scored) -> Changes:
        times = batch.decoded.times[batch.rows]
        if not len(times):
            return []
        self._see(times)
        threshold = self.scorer.threshold if self.scorer else None
        scores = batch.raw / threshold if threshold else np.zeros(len(batch.raw))
        alerting = self.alerting and threshold is not None
        entities = batch.entities()
        changes = self._group(context, batch, scores if alerting else np.zeros(len(scores)), entities)
        abnormal = scores >= 1.0
        labels = batch.decoded.labels[batch.rows]
        if self._settings.pinned_bundle is None:
            self.learner.observe(
                str(partition),
                times,
                entities,
                batch.offsets,
                batch.x,
                abnormal,
                labels,
                context.grouper.watermark,
            )
        self._ledger.scored(partition, batch.offsets, scores)
        self.counts.scored += len(scores)
        self.counts.abnormal += int(abnormal.sum())
        return [(partition, context.topic_incarnation, change) for change in changes]

    def _group(
        self, context: PartitionContext, batch: _Scored, scores: NDArray[np.float64], entities: list[str]
    ) -> list[AlertChange]:
        scorer = self.scorer

        def payload(i: int) -> dict[str, Any]:
            assert scorer is not None
            assert scorer.threshold is not None
            row = int(batch.rows[i])
            kept = worst_payload(batch.imputed, row, scorer, scorer.threshold)
            return {**kept, "context": batch.decoded.context(row)}

        zeros = np.zeros(len(scores), np.int64)
        times = batch.decoded.times[batch.rows]
        return context.grouper.step(ScoredBatch(times, entities, scores, batch.raw, batch.offsets, zeros), payload)

    def _see(self, times: NDArray[np.float64]) -> None:
        if self.first_time is None:
            self.first_time = float(times[0])
        newest = float(times.max())
        self.watermark = newest if self.watermark is None else max(self.watermark, newest)

    def _learn(self, partition: Partition, context: PartitionContext) -> None:
        if self._settings.pinned_bundle is None:
            self._ledger.settled(self.learner.settle({str(partition): context.grouper.watermark}))


@dataclass(frozen=True)
class _Scored:
    """A decoded batch with scores; `rows` are the rows of `decoded` and `imputed` that are left."""

    decoded: Decoded
    imputed: Imputed
    x: NDArray[np.float32]
    raw: NDArray[np.float64]
    offsets: NDArray[np.int64]
    left: NDArray[np.int64] | None = None

    @property
    def rows(self) -> NDArray[np.int64]:
        return np.arange(len(self.raw)) if self.left is None else self.left

    def entities(self) -> list[str]:
        if self.left is None:
            return self.decoded.entities
        return [self.decoded.entities[i] for i in self.left]

    def without(self, removed: list[int]) -> _Scored:
        keep = np.setdiff1d(np.arange(len(self.raw)), removed)
        return _Scored(self.decoded, self.imputed, self.x[keep], self.raw[keep], self.offsets[keep], keep)
