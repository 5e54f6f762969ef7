"""The source partitions this node reads: where to start, their contexts, commits, and handing them over."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

from schemas import PartitionContextMessage
from services.edge_node.settings import EdgeSettings
from services.runtime.envelope import Sealer, open_envelope, read_message
from services.runtime.errors import EnvelopeError, MessageTooLargeError, TopicError
from services.runtime.log import Committed, Consumer, LogRecord, LogReset, Outgoing, Partition, Producer
from services.runtime.logging import get_logger
from streamgauge.errors import StateError
from streamgauge.stream.context import PartitionContext

log = get_logger("edge.sources")


def pack_state(state: dict[str, Any]) -> str:
    """A context's state as text; ten thousand open alerts are some 17 MB as JSON and a tenth of that packed."""
    return base64.b64encode(zlib.compress(json.dumps(state).encode(), 1)).decode()


def unpack_state(text: str) -> dict[str, Any]:
    """The inverse of `pack_state`.

    Raises:
        StateError: damaged.
    """
    try:
        state: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(text)))
    except (ValueError, zlib.error) as error:
        raise StateError(f"a context cannot be read: {error}; delete it from the topic to start afresh") from None
    return state


def first_life(topic: str) -> str:
    """Incarnation of a topic on a broker without topic ids, until a reset is seen; differs between topics."""
    return f"first-{topic}"


class Sources:
    """Contexts and positions of the partitions this node owns.

    Args:
        settings: of the node.
        consumer: of the records; a second one reads `contexts` in group mode.
        writer: producer and sealer for `contexts`, and the topic's name.
        incarnation: start time of this process in ms.
        saved: contexts from the node's checkpoint, by partition, with the sequence it had written.
    """

    def __init__(
        self,
        settings: EdgeSettings,
        consumer: Consumer,
        contexts_consumer: Callable[[], Consumer],
        writer: tuple[Producer, Sealer, str],
        incarnation: int,
        saved: tuple[Mapping[Partition, PartitionContext], int],
    ) -> None:
        self.contexts: dict[Partition, PartitionContext] = {}
        self.released: Callable[[Partition], None] = lambda _: None
        """Told of each partition that was revoked, after its context was written."""
        self.replaced: list[tuple[Partition, PartitionContext]] = []
        """Contexts of logs that were deleted and made again; the loop closes their alerts."""
        self.unsaved = False
        """Whether a partition was taken over whose context stands in no checkpoint yet.

        Then the loop saves before it goes on: a commit without a checkpoint behind it would lose open alerts.
        """
        self._settings = settings
        self._consumer = consumer
        self._contexts_consumer = contexts_consumer
        self._producer, self._sealer, self._topic = writer
        self._incarnation = incarnation
        self._saved, self.sequence = dict(saved[0]), saved[1]

    def open(self) -> None:
        """Assign the partitions of the settings, or join the group.

        Raises:
            TopicError: a topic does not exist or lacks a partition.
        """
        known = {topic: self._consumer.partitions(topic) for topic in self._settings.topics}
        for topic, partitions in known.items():
            if not partitions:
                raise TopicError(
                    f"topic {topic!r} does not exist on the records cluster; create it or correct `topics`"
                )
        if self._settings.mode == "group":
            self._consumer.subscribe(self._settings.topics, self.on_assigned, self.on_revoked)
            return
        self._consumer.assign(self.on_assigned(self._chosen(frozenset().union(*known.values()))))

    def _chosen(self, known: frozenset[Partition]) -> frozenset[Partition]:
        """The partitions that the settings name, or all."""
        numbers = self._settings.partitions
        if numbers is None:
            return known
        wanted = {Partition(topic, number) for topic in self._settings.topics for number in numbers}
        if absent := ", ".join(map(str, sorted(wanted - known))):
            raise TopicError(f"partitions={list(numbers)}: there is no {absent}; correct `partitions` or `topics`")
        return frozenset(wanted)

    def on_assigned(self, partitions: frozenset[Partition]) -> dict[Partition, int]:
        """Take over partitions; returns the offsets to start at."""
        foreign = self._newest_contexts(partitions) if self._settings.mode == "group" else {}
        for partition in sorted(partitions - self.contexts.keys()):
            self.contexts[partition] = self._context(partition, foreign.get(partition))
            self.unsaved = True
        return {partition: self.contexts[partition].next_offset for partition in partitions}

    def on_revoked(self, partitions: frozenset[Partition]) -> None:
        """Hand partitions over: contexts first, then the commit. Everything before is acknowledged."""
        mine = {p: c for p, c in self.contexts.items() if p in partitions}
        self._publish(mine)
        self.commit(mine)
        for partition in mine:
            del self.contexts[partition]
            self._saved.pop(partition, None)
            self.released(partition)

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
        if self._settings.mode == "group":
            self._publish(self.contexts)

    def _publish(self, contexts: Mapping[Partition, PartitionContext]) -> None:
        if self._settings.mode != "group" or not contexts:
            return
        self.sequence += 1
        for partition, context in sorted(contexts.items()):
            try:
                self._producer.deliver([self._message(partition, context)])
            except MessageTooLargeError as error:
                # The next owner starts at the context before: it reads more again, and loses nothing.
                log.error("context not written", partition=str(partition), error=str(error))

    def _message(self, partition: Partition, context: PartitionContext) -> Outgoing:
        message = PartitionContextMessage(
            node=self._settings.node,
            incarnation=self._incarnation,
            sequence=self.sequence,
            topic=partition.topic,
            partition=partition.partition,
            topic_incarnation=context.topic_incarnation,
            next_offset=context.next_offset,
            state=pack_state(context.to_state()),
        )
        return self._sealer.seal(message, self._topic, str(partition).encode())

    def _context(self, partition: Partition, newest: PartitionContextMessage | None) -> PartitionContext:
        """The node's own checkpoint if it wrote the newest context, else that context, else the commit."""
        topic_id = self._consumer.topic_id(partition.topic)
        own = self._saved.get(partition)
        if newest is not None and (own is None or newest.node != self._settings.node):
            own = PartitionContext.from_state(unpack_state(newest.state), self._settings.alerts.policy())
        if own is not None:
            if self._same_life(partition, own.topic_incarnation, own.next_offset, topic_id):
                return own
            log.warning("topic was replaced; reading starts at its beginning", partition=str(partition))
            self.replaced.append((partition, own))
            return self._fresh(topic_id or str(uuid4()), self._consumer.beginning(partition))
        return self._fresh(*self._start(partition, topic_id))

    def _same_life(self, partition: Partition, incarnation: str, offset: int, topic_id: str | None) -> bool:
        if topic_id is not None and incarnation != topic_id:
            return False
        return offset <= self._consumer.end(partition)

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
        if self._same_life(partition, incarnation, committed.offset, topic_id):
            return incarnation, committed.offset
        return topic_id or str(uuid4()), self._consumer.beginning(partition)

    def _by_setting(self, partition: Partition) -> int:
        start = self._settings.start
        if isinstance(start, datetime):
            return self._consumer.offset_at(partition, int(start.timestamp() * 1000))
        return self._consumer.end(partition) if start == "latest" else self._consumer.beginning(partition)

    def _newest_contexts(self, wanted: frozenset[Partition]) -> dict[Partition, PartitionContextMessage]:
        """Read `contexts` to its end; the last one of each partition counts."""
        consumer = self._contexts_consumer()
        found: dict[Partition, PartitionContextMessage] = {}
        try:
            positions = {p: consumer.beginning(p) for p in consumer.partitions(self._topic)}
            filled = [p for p, first in positions.items() if consumer.end(p) > first]
            consumer.assign(positions)
            while any(consumer.lag(p) != 0 for p in filled):
                for records in consumer.poll(0.2).records.values():
                    found |= _wanted(wanted, map(read_context, records))
        finally:
            consumer.close()
        return found


def read_context(record: LogRecord) -> PartitionContextMessage | None:
    """The context in a record of `contexts`; None (and a warning) if it cannot be read."""
    try:
        return read_message(PartitionContextMessage, open_envelope(record, None))
    except (EnvelopeError, StateError) as error:
        log.warning("context ignored", reason=str(error))
        return None


def _wanted(
    wanted: frozenset[Partition], messages: Iterable[PartitionContextMessage | None]
) -> dict[Partition, PartitionContextMessage]:
    """By partition; the last one in the log counts.

    A member that was thought dead may write once more: then some records are read again, with the same ids.
    """
    read = (m for m in messages if m is not None)
    return {p: m for m in read if (p := Partition(m.topic, m.partition)) in wanted}
