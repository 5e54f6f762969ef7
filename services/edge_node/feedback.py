"""People's verdicts on this node's alerts: read from `feedback`, learned once, whatever is killed (ADR 038).

How far the verdicts on a partition's alerts were handled belongs to the partition's context, so it is rolled back
and handed over with the alerts' rows. What a verdict does depends on its version alone, so reading one again
changes nothing.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from uuid import uuid4

import numpy as np

from schemas import Verdict, VerdictKind
from services.edge_node.ids import alert_id, record_id
from services.edge_node.settings import EdgeSettings
from services.runtime.envelope import open_envelope, read_message
from services.runtime.errors import BrokerError, EnvelopeError
from services.runtime.log import Consumer, LogRecord, Partition
from services.runtime.logging import Paced, get_logger
from streamgauge.stream.context import LogMark, PartitionContext
from streamgauge.stream.learning import Learner

log = get_logger("edge.feedback")
MOST_WAITING = 1000
"""Verdicts in memory; while there are more, no further ones are read."""
LABELS: Mapping[VerdictKind, float] = {"attack": 1.0, "false_alarm": 0.0, "unknown": np.nan}
Contexts = Mapping[Partition, PartitionContext]


class Feedback:
    """Hands verdicts to the learner.

    Args:
        settings: of the node.
        topic: where verdicts are; it has one partition.
        consumer: of the records cluster, for this alone.
        end: of a source partition's log.
        learner: takes the rows of judged alerts.
        counts: verdicts by what became of them; belongs to the checkpoint.
    """

    def __init__(
        self,
        settings: EdgeSettings,
        topic: str,
        consumer: Consumer,
        end: Callable[[Partition], int],
        learner: Learner,
        counts: Counter[str],
    ) -> None:
        self._settings, self._consumer, self._end = settings, consumer, end
        self._learner, self._counts = learner, counts
        self._partition = Partition(topic, 0)
        self._life: str | None = None
        self._next = 0  # of the consumer
        self._waiting: deque[tuple[int, Verdict]] = deque()
        self._followed: dict[Partition, PartitionContext] = {}
        self._outages = Paced()

    def turn(self, contexts: Contexts) -> None:
        """Read what has come and handle what can be handled. Never waits for verdicts.

        Args:
            contexts: of the node's partitions as of now; changed.
        """
        try:
            self._follow(contexts)
            self._read()
            for partition, context in contexts.items():
                self._handle(partition, context)
        except BrokerError as error:  # the next turn goes on here
            if times := self._outages.happened():
                log.warning("verdicts cannot be read", why=str(error), times=times)
        else:
            if self._outages.over():
                log.info("verdicts are read again")
        marks = [context.feedback.next_offset for context in contexts.values()]
        while self._waiting and self._waiting[0][0] < min(marks, default=self._next):
            self._waiting.popleft()

    def close(self) -> None:
        """Free the sockets."""
        self._consumer.close()

    def _follow(self, contexts: Contexts) -> None:
        """Read from where the context that is furthest behind needs it; most turns find nothing new."""
        new = [c for p, c in contexts.items() if self._followed.get(p) is not c]
        if self._life is None:
            if not contexts:
                return
            self._begin(contexts)
        for context in new:
            context.feedback = self._mark(context.feedback)
        first = min((c.feedback.next_offset for c in new), default=self._next)
        if first < (self._waiting[0][0] if self._waiting else self._next):
            self._seek(first)
        self._followed = dict(contexts)

    def _begin(self, contexts: Contexts) -> None:
        """Which life of the topic this is: its id, or what the contexts call it on a broker without ids."""
        known = [context.feedback.incarnation for context in contexts.values()]
        life = self._consumer.topic_id(self._partition.topic) or next(filter(None, known), str(uuid4()))
        self._next = self._consumer.end(self._partition)
        self._consumer.assign({self._partition: self._next})
        self._life = life  # last: what an outage breaks off is begun again

    def _mark(self, mark: LogMark) -> LogMark:
        """Where to read on for a context; at the beginning if it speaks of another life of the topic."""
        assert self._life is not None
        if mark.incarnation == self._life and mark.next_offset <= self._consumer.end(self._partition):
            return mark
        return LogMark(self._life, self._consumer.beginning(self._partition))

    def _seek(self, offset: int) -> None:
        self._next = max(offset, self._consumer.beginning(self._partition))
        self._waiting.clear()
        self._consumer.seek(self._partition, self._next)

    def _read(self) -> None:
        if self._life is None or len(self._waiting) > MOST_WAITING:
            return
        polled = self._consumer.poll(0.0)
        for reset in polled.resets:
            self._life = reset.topic_id or str(uuid4())
            for context in self._followed.values():
                context.feedback = self._mark(LogMark())
            self._waiting.clear()
            self._next = self._consumer.beginning(self._partition)
        for record in polled.records.get(self._partition, ()):
            self._take(record)
            self._next = record.offset + 1

    def _take(self, record: LogRecord) -> None:
        if record.value is None:
            return
        try:
            verdict = read_message(Verdict, open_envelope(record, None))
        except EnvelopeError as error:
            self._counts["unreadable"] += 1
            log.warning("verdict ignored", offset=record.offset, why=str(error))
            return
        mine = self._settings
        if (verdict.federation, verdict.detector) != (mine.federation, mine.detector):
            return
        if Partition(verdict.topic, verdict.partition) in self._followed:
            self._waiting.append((record.offset, verdict))
        else:  # the alert may be of a partition that was this node's
            self._change(verdict)

    def _handle(self, partition: Partition, context: PartitionContext) -> None:
        """Up to the first verdict whose alert is still to come: after a restart records are scored again."""
        mark = context.feedback
        reached = max(mark.next_offset, self._next)  # another partition may need what this one is past
        for offset, verdict in self._waiting:
            if offset < mark.next_offset or Partition(verdict.topic, verdict.partition) != partition:
                continue
            if not self._change(verdict):
                known = self._is_of(partition, context, verdict)
                if known and context.low_watermark <= verdict.offset < self._end(partition):
                    reached = offset
                    break
                self._judge(partition, context, verdict, known)
        context.feedback = LogMark(mark.incarnation, reached)

    def _is_of(self, partition: Partition, context: PartitionContext, verdict: Verdict) -> bool:
        """Whether the alert is of the topic as it is now, under this node's name of the cluster."""
        mine = self._settings
        life, at = context.topic_incarnation, (partition.partition, verdict.offset, verdict.row)
        first = record_id(mine.records_cluster_name, life, *at)
        return alert_id(mine.federation, mine.detector, first) == verdict.alert_id

    def _judge(self, partition: Partition, context: PartitionContext, verdict: Verdict, known: bool) -> None:
        """A verdict on an alert of which this node has learned nothing yet."""
        evidence, first = context.grouper.evidence, (verdict.offset, verdict.row)
        taker = evidence.taker(first) if known else None
        if taker is None:
            outcome = "windows" if self._learner.policy.window > 1 else "not_kept"
        elif taker:
            outcome = "not_kept" if taker == self._settings.node else "elsewhere"
        elif verdict.verdict == "unknown":
            outcome = "nothing_to_take_back"
        else:
            rows = evidence.take(first, self._settings.node, str(partition))
            self._learner.judged.add(str(verdict.alert_id), verdict.version, LABELS[verdict.verdict], rows)
            outcome = "learned"
        self._counts[outcome] += 1

    def _change(self, verdict: Verdict) -> bool:
        """Give the rows that this node has of an alert another label; False if it has none."""
        judged, alert = self._learner.judged, str(verdict.alert_id)
        if alert not in judged:
            return False
        if judged.change(alert, verdict.version, LABELS[verdict.verdict]):
            self._counts["changed"] += 1
        return True
