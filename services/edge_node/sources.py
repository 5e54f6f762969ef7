"""The source partitions this node reads: where to start, their contexts, commits, and handing them over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from uuid import uuid4

from schemas import PartitionContextMessage
from services.edge_node.context_topic import ContextTopic, unpack_state
from services.edge_node.found_topics import FoundTopics
from services.edge_node.settings import EdgeSettings
from services.runtime.errors import TopicError
from services.runtime.log import Committed, Consumer, LogReset, Partition
from services.runtime.logging import get_logger
from streamgauge.stream.context import PartitionContext

log = get_logger("edge.sources")


def first_life(topic: str) -> str:
    """Incarnation of a topic on a broker without topic ids, until a reset is seen; differs between topics."""
    return f"first-{topic}"


class Sources:
    """Contexts and positions of the partitions this node owns.

    Args:
        settings: of the node.
        consumer: of the records.
        topic: where contexts are handed over; None in assigned mode.
        saved: contexts from the node's checkpoint, by partition.
        found: what was there at the node's first start, from its checkpoint; changed.
    """

    def __init__(
        self,
        settings: EdgeSettings,
        consumer: Consumer,
        topic: ContextTopic | None,
        saved: Mapping[Partition, PartitionContext],
        found: FoundTopics,
    ) -> None:
        self.contexts: dict[Partition, PartitionContext] = {}
        self.moved_on: Callable[[Partition], None] = lambda _: None
        """Told of each partition that does not go on where this node left it: its quarantine is another's now."""
        self.revoked: Callable[[Partition], None] = lambda _: None
        """Told of each partition that was handed over; its suspects are another's now."""
        self.replaced: list[tuple[Partition, PartitionContext]] = []
        """Contexts of logs that were deleted and made again; the loop closes their alerts."""
        self.unsaved = False
        """Whether a partition was taken over whose context stands in no checkpoint yet.

        Then the loop saves before it goes on: a commit without a checkpoint behind it would lose open alerts.
        """
        self._settings, self._consumer, self._topic = settings, consumer, topic
        self.found = found
        self._topics: frozenset[str] = frozenset()
        self._left = dict(saved)
        """As this node left them: partitions of its last life and those that were revoked."""

    @property
    def known(self) -> dict[Partition, PartitionContext]:
        """All contexts for the checkpoint, also of partitions that were revoked and may come back."""
        return self._left | self.contexts

    @property
    def sequence(self) -> int:
        """Number of the contexts written to the topic."""
        return self._topic.sequence if self._topic is not None else 0

    def open(self) -> None:
        """Assign the partitions of the settings, or join the group.

        Raises:
            TopicError: a topic does not exist or lacks a partition, or the pattern fits none.
        """
        self._topics = self._wanted()
        if not self._topics and self._settings.topic_pattern is not None:
            raise TopicError(
                "no topic of the records cluster fits "
                f"topic_pattern={self._settings.topic_pattern.pattern}; create one or correct it"
            )
        known, pattern = self._known(), self._settings.topic_pattern
        there = {topic: len(partitions) for topic, partitions in known.items()}
        self.found.open(there, self._settings.topics, pattern.pattern if pattern else None)
        self.unsaved = True  # else a node that crashes before its first checkpoint would find later topics old
        self._read(known)

    def look(self) -> None:
        """Read what has come since and fits the pattern, from its beginning."""
        if self._settings.topic_pattern is None or not (come := self._wanted() - self._topics):
            return
        log.info("new topics", topics=sorted(come))
        self._topics |= come
        self._read(self._known())

    def _wanted(self) -> frozenset[str]:
        """Topics that the settings name, and those that fit the pattern; never the system's own."""
        pattern, named = self._settings.topic_pattern, frozenset(self._settings.topics)
        if pattern is None:
            return named
        fits = (topic for topic in self._consumer.topics() if pattern.fullmatch(topic))
        return named | {topic for topic in fits if not topic.startswith(("__", self._settings.topic_prefix))}

    def _known(self) -> dict[str, frozenset[Partition]]:
        """Partitions of each topic that is read; without those of the pattern that were deleted since."""
        known = {topic: self._consumer.partitions(topic) for topic in sorted(self._topics)}
        gone = {topic for topic, partitions in known.items() if not partitions} - set(self._settings.topics)
        if gone:  # of the pattern's, deleted since
            self._topics -= gone
            self.found.forget(gone)
            known = {topic: partitions for topic, partitions in known.items() if topic not in gone}
            for partition in [p for p in self.contexts if p.topic in gone]:
                self._left[partition] = self.contexts.pop(partition)
        for topic, partitions in known.items():
            if not partitions:
                raise TopicError(
                    f"topic {topic!r} does not exist on the records cluster; create it or correct `topics`"
                )
        return known

    def _read(self, known: Mapping[str, frozenset[Partition]]) -> None:
        if self._settings.mode == "group":
            self._consumer.subscribe(known, self.on_assigned, self.on_revoked)
            return
        self._consumer.assign(self.on_assigned(self._chosen(frozenset().union(*known.values()))))

    def _chosen(self, known: frozenset[Partition]) -> frozenset[Partition]:
        """The partitions that the settings name, or all."""
        numbers = self._settings.partitions
        if numbers is None:
            return known
        wanted = {Partition(topic, number) for topic in self._topics for number in numbers}
        if absent := ", ".join(map(str, sorted(wanted - known))):
            raise TopicError(f"partitions={list(numbers)}: there is no {absent}; correct `partitions` or `topics`")
        return frozenset(wanted)

    def on_assigned(self, partitions: frozenset[Partition]) -> dict[Partition, int]:
        """Take over partitions; returns the offsets to start at."""
        newest = self._topic.newest(partitions | self._left.keys()) if self._topic is not None else {}
        for partition in sorted(partitions - self.contexts.keys()):
            left = self._left.get(partition)
            context = self._context(partition, left, newest.get(partition))
            if left is None or _position(left) != _position(context):
                self.moved_on(partition)
            self.contexts[partition] = context
            self._left.pop(partition, None)
            self.unsaved = True
        for partition in sorted(newest.keys() & self._left.keys()):
            message = newest[partition]
            if message.node != self._settings.node and _position(message) != _position(self._left[partition]):
                del self._left[partition]
                self.moved_on(partition)
        return {partition: self.contexts[partition].next_offset for partition in partitions}

    def on_revoked(self, partitions: frozenset[Partition]) -> None:
        """Hand partitions over: contexts first, then the commit. Everything before is acknowledged.

        What was left is remembered: at the next assignment a partition often comes back to the same node.
        """
        mine = {p: c for p, c in self.contexts.items() if p in partitions}
        if self._topic is not None:
            self._topic.write(mine)
        self.commit(mine)
        for partition in mine:
            self._left[partition] = self.contexts.pop(partition)
            self.revoked(partition)

    def reset(self, reset: LogReset) -> None:
        """A topic was deleted and made again: its old context means nothing.

        The consumer stands at the new log's beginning already; what it has polled since is of the new log.
        """
        incarnation = reset.topic_id or str(uuid4())
        beginning = self._consumer.beginning(reset.partition)
        log.warning("log was replaced", partition=str(reset.partition), incarnation=incarnation)
        self.replaced.append((reset.partition, self.contexts[reset.partition]))
        self.contexts[reset.partition] = self._fresh(incarnation, beginning)
        self.unsaved = True

    def advance(self, partition: Partition, next_offset: int) -> None:
        """Everything before `next_offset` was handled and acknowledged."""
        self.contexts[partition].next_offset = next_offset

    def commit(self, contexts: Mapping[Partition, PartitionContext] | None = None) -> None:
        """Commit up to the low watermarks; a failed commit only means that more is read again."""
        contexts = self.contexts if contexts is None else contexts
        offsets = {p: Committed(c.low_watermark, c.topic_incarnation) for p, c in contexts.items()}
        if offsets and not self._consumer.commit(offsets):
            log.warning("commit refused; the records will be read again")

    def publish(self) -> None:
        """Write the contexts for the next owner; only in group mode."""
        if self._topic is not None:
            self._topic.write(self.contexts)

    def _context(
        self, partition: Partition, own: PartitionContext | None, newest: PartitionContextMessage | None
    ) -> PartitionContext:
        """The node's own context if it wrote the newest one, else that one, else the commit."""
        topic_id = self._consumer.topic_id(partition.topic)
        if newest is not None and (own is None or newest.node != self._settings.node):
            own = self._handed_over(partition, newest)
        if own is not None:
            offset = self._offset_in(partition, own.topic_incarnation, own.next_offset, topic_id)
            if offset is not None:
                own.next_offset = offset
                return own
            log.warning("topic was replaced; reading starts at its beginning", partition=str(partition))
            self.replaced.append((partition, own))
            return self._fresh(topic_id or str(uuid4()), self._consumer.beginning(partition))
        return self._fresh(*self._start(partition, topic_id))

    def _handed_over(self, partition: Partition, message: PartitionContextMessage) -> PartitionContext:
        """A context from the topic. Of another schema only offsets and alerts count."""
        assert self._topic is not None
        context = PartitionContext.from_state(unpack_state(message.state), self._settings.alerts.policy())
        if message.schema_hash != (own := self._topic.worker.schema_hash):
            log.warning(
                "the context is of another profile: last values and sequence states start afresh",
                partition=str(partition),
                schema=message.schema_hash[:12],
                own=own[:12],
            )
            context.forget_values()
        return context

    def _offset_in(self, partition: Partition, incarnation: str, offset: int, topic_id: str | None) -> int | None:
        """Where to go on in the log as it is now; None if it is another log than that of `incarnation`."""
        end = self._consumer.end(partition)
        if topic_id is None:  # without ids, a log that is too short is another one
            return offset if offset <= end else None
        if incarnation != topic_id:
            return None
        if offset > end:  # an unclean leader election cut the log's end; what comes next is new
            log.error("the log was truncated", partition=str(partition), position=offset, end=end)
        return min(offset, end)

    def _fresh(self, incarnation: str, offset: int) -> PartitionContext:
        return PartitionContext.fresh(incarnation, offset, self._settings.alerts.policy())

    def _start(self, partition: Partition, topic_id: str | None) -> tuple[str, int]:
        """Incarnation and offset without a context: the commit if it is of this life, else by the setting.

        A commit of another life says that the topic was replaced: then everything in it is new.
        """
        first, committed = first_life(partition.topic), self._consumer.committed(partition)
        if committed is None:
            return topic_id or first, self._by_setting(partition)
        incarnation = committed.metadata or topic_id or first
        offset = self._offset_in(partition, incarnation, committed.offset, topic_id)
        if offset is not None:
            return incarnation, offset
        return topic_id or str(uuid4()), self._consumer.beginning(partition)

    def _by_setting(self, partition: Partition) -> int:
        start = self._settings.start if partition in self.found else "earliest"
        if isinstance(start, datetime):
            return self._consumer.offset_at(partition, int(start.timestamp() * 1000))
        return self._consumer.end(partition) if start == "latest" else self._consumer.beginning(partition)


def _position(context: PartitionContext | PartitionContextMessage) -> tuple[str, int]:
    """Where a context ends: equal ones have the same records behind them."""
    return context.topic_incarnation, context.next_offset
