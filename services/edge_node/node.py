"""What the node does with records: score, group, learn. No Kafka and no clock in here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.edge_node.alerts import AlertWriter
from services.edge_node.columnar import MixedSteps
from services.edge_node.counts import Counts
from services.edge_node.dead_letters import Refused, dead_letter
from services.edge_node.in_order import OrderedSteps
from services.edge_node.poison import PoisonGuard, Records
from services.edge_node.scored import Scored, ScoringSteps
from services.edge_node.scorer import Scorer
from services.edge_node.settings import EdgeSettings
from services.edge_node.source_profiles import SourceProfiles
from services.edge_node.ticks import TickSteps
from services.runtime.log import LogRecord, Outgoing, Partition
from services.runtime.logging import get_logger
from streamgauge.profiles.profile import Profile
from streamgauge.stream.alerts import AlertChange
from streamgauge.stream.context import PartitionContext
from streamgauge.stream.grouping import ScoredBatch
from streamgauge.stream.learning import Learner, Settled
from streamgauge.stream.reorder import Held

log = get_logger("edge.node")
Changes = list[tuple[Partition, str, AlertChange]]
Contexts = Mapping[Partition, PartitionContext]


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
        profiles: of its sources.
        learner: quarantine, reservoir and moments.
        guard: against records that crash the node.
        writer: makes alert messages.
        ledger: for tests.
    """

    def __init__(
        self,
        settings: EdgeSettings,
        profiles: SourceProfiles,
        learner: Learner,
        guard: PoisonGuard,
        writer: AlertWriter,
        ledger: Ledger,
    ) -> None:
        self.scorer: Scorer | None = None
        self.counts = Counts()
        self.learner = learner
        self._settings, self._guard, self._writer, self._ledger = settings, guard, writer, ledger
        self._steps: dict[str, ScoringSteps] = {}
        self._profiles = profiles
        self._dead_letters = f"{settings.topic_prefix}dead-letters"
        # Of single records only: a window is more than its last record.
        self._keeps_evidence = settings.pinned_bundle is None and learner.policy.window == 1

    def step(self, records: Records, contexts: Contexts, now: float) -> list[Outgoing]:
        """Handle records; returns all that must be acknowledged before they count as handled.

        After an exception the state is of no use: the process must end without saving it.

        Args:
            records: by partition, in log order.
            contexts: of these partitions; changed.
            now: monotonic time in seconds, for the cap on explanations.
        """
        innocent, out = self._innocent(records, contexts)
        if not innocent:
            return out
        with self._guard.marked(innocent):
            changes: Changes = []
            for partition, batch in innocent.items():
                due: list[LogRecord] = [*self._left_over(partition, contexts[partition]), *batch]
                parts, crashed = self._steps_of(partition).run(due, contexts[partition], self.scorer)
                out += [self._crashed(record, why) for record, why in crashed]
                out += self._handle(partition, contexts[partition], parts, changes)
            if changes:
                out += self._write(changes, now)
        return out

    def end(self, partition: Partition, context: PartitionContext, now: float) -> list[Outgoing]:
        """The partition's log was replaced: the last messages of its open alerts; its quarantine is dropped."""
        parts, crashed = self._steps_of(partition).rest(context, self.scorer)
        changes: Changes = []
        out = [self._crashed(record, why) for record, why in crashed]
        out += self._handle(partition, context, parts, changes)
        self.learner.forget(str(partition))
        changes += [(partition, context.topic_incarnation, change) for change in context.grouper.close_all()]
        return out + self._write(changes, now)

    @property
    def unexplained(self) -> int:
        """Alert messages sent without explanation, because of the cap or because explaining failed."""
        return self._writer.unexplained

    def learning_left_s(self, contexts: Contexts) -> float:
        """Event time until the first of these partitions may raise alerts."""
        warm_up_s = self._settings.learning.warm_up_s
        return min((context.warm_up_left_s(warm_up_s) for context in contexts.values()), default=warm_up_s)

    def alerting(self, contexts: Contexts) -> bool:
        """Whether abnormal records of any partition become alerts: calibrated, and warmed up unless pinned."""
        if self.scorer is None or self.scorer.threshold is None:
            return False
        return self._settings.pinned_bundle is not None or self.learning_left_s(contexts) == 0

    def _innocent(
        self, records: Records, contexts: Contexts
    ) -> tuple[dict[Partition, Sequence[LogRecord]], list[Outgoing]]:
        """What may be handled, and dead letters of what crashed the node before."""
        if self._guard.calm:
            return dict(records), []
        condemned = [r for batch in records.values() for r in batch if self._guard.condemned(r)]
        kept = {p: [r for r in batch if not self._guard.condemned(r)] for p, batch in records.items()}
        out = [self._crashed(r, "crashed the node whenever it was handled alone") for r in condemned]
        for partition in {Partition(r.topic, r.partition) for r in condemned}:
            # What crashes may be what the record let out, a tick or another record; the next would let it out too.
            if dropped := contexts[partition].pivot.drop_open():
                self.counts.topics[partition.topic].outcomes["dropped"] += dropped
            waiting = contexts[partition].reorder.drop()
            out += [self._crashed(r, "waited for its turn when the node crashed") for r in waiting]
        return {p: batch for p, batch in kept.items() if batch}, out

    def _left_over(self, partition: Partition, context: PartitionContext) -> list[Held]:
        """What waits in a way that the profile, changed meanwhile, knows no more: it would wait, and hold the
        commit, for ever."""
        profile = self._profiles.of(partition.topic)
        if profile.long is None and (dropped := context.pivot.drop_open()):
            log.warning(
                "open ticks dropped, the layout is no longer long", partition=str(partition), ticks=dropped
            )
        return context.reorder.drop() if not profile.reorder_s else []

    def _crashed(self, record: LogRecord, why: str) -> Outgoing:
        refused = Refused(record, "crashed", why)
        log.error("record set aside", position=refused.position, why=why)
        return self._reject(refused)

    def _reject(self, refused: Refused) -> Outgoing:
        self.counts.topics[refused.record.topic].rejected[refused.reason] += 1
        return dead_letter(self._dead_letters, self._settings.node, refused)

    def _steps_of(self, partition: Partition) -> ScoringSteps:
        if partition.topic not in self._steps:
            self._steps[partition.topic] = steps_of(self._settings, self._profiles.of(partition.topic))
        return self._steps[partition.topic]

    def _handle(
        self, partition: Partition, context: PartitionContext, parts: Sequence[Scored], changes: Changes
    ) -> list[Outgoing]:
        """Group and learn what was scored; adds to `changes`, returns dead letters."""
        out: list[Outgoing] = []
        for part in parts:
            self.counts.topics[partition.topic].outcomes.update(part.outcomes)
            out += [self._reject(refused) for refused in part.refused]
            changes += [(partition, context.topic_incarnation, c) for c in self._take(partition, context, part)]
        self._learn(partition, context)
        return out

    def _write(self, changes: Changes, now: float) -> list[Outgoing]:
        self.counts.alerts += sum(change.state == "opened" for _, _, change in changes)
        return self._writer.write(changes, self.scorer, now)

    def _take(self, partition: Partition, context: PartitionContext, batch: Scored) -> Iterable[AlertChange]:
        """Group and learn; every line from here on changes state."""
        decoded, n = batch.decoded, len(batch.raw)
        if not n:
            return []
        counts = self.counts.topics[partition.topic]
        counts.imputed.update(batch.imputed.counts)
        threshold = self.scorer.threshold if self.scorer else None
        scores = batch.raw / threshold if threshold else np.zeros(n)
        warm = context.warm(decoded.times, self._settings.learning.warm_up_s)
        alerting = np.ones(n, bool) if self._settings.pinned_bundle is not None else warm
        changes = self._group(context, batch, np.where(alerting, scores, 0.0))
        abnormal = scores >= 1.0
        if self._settings.pinned_bundle is None:
            self.learner.observe(
                str(partition),
                decoded.times,
                decoded.entities,
                batch.positions,
                batch.x,
                abnormal,
                decoded.labels,
                context.grouper.watermark,
            )
        self._ledger.scored(partition, batch.offsets, scores)
        context.health.observe(decoded.values, decoded.times, decoded.entities)
        counts.scored += n
        self.counts.abnormal += int(abnormal.sum())
        return changes

    def _group(self, context: PartitionContext, batch: Scored, scores: NDArray[np.float64]) -> list[AlertChange]:
        scorer, decoded = self.scorer, batch.decoded

        def payload(i: int) -> dict[str, Any]:
            assert scorer is not None
            assert scorer.bundle.info.threshold is not None
            return batch.payload(i, scorer, scorer.bundle.info.threshold)

        rows = np.zeros(len(scores), np.int64) if batch.rows is None else batch.rows
        x = batch.x if self._keeps_evidence else None
        return context.grouper.step(
            ScoredBatch(decoded.times, decoded.entities, scores, batch.raw, batch.offsets, rows, x), payload
        )

    def _learn(self, partition: Partition, context: PartitionContext) -> None:
        if self._settings.pinned_bundle is None:
            if self._guard.careful:
                self.learner.flush(str(partition))
            self._ledger.settled(self.learner.settle({str(partition): context.grouper.watermark}))


def steps_of(settings: EdgeSettings, profile: Profile) -> ScoringSteps:
    """How records of a source are scored, by its profile."""
    if profile.long is not None:
        return TickSteps(settings, profile)
    return (OrderedSteps if profile.reorder_s else MixedSteps)(settings, profile)
