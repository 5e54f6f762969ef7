"""The log in process: topics in memory behind the same seam as Kafka, for fast tests.

What it has: partitions, size limits, groups, commits, topic ids, timestamps, outages (`pause`), deletion of
topics and of old records. What it has not: persistence, compaction, transactions.
"""

from __future__ import annotations

import threading
import time
import uuid
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from typing_extensions import override

from services.runtime.errors import MessageTooLargeError, StoppedError, TopicError
from services.runtime.log import Committed, Outgoing, Partition, Producer, ReadRecord, Sent
from services.runtime.topics import DEFAULT_MESSAGE_BYTES

if TYPE_CHECKING:
    from services.runtime.memory_consumer import MemoryConsumer


class MemoryTopic:
    """A topic's records and limits."""

    def __init__(self, partitions: int, max_message_bytes: int) -> None:
        self.id = str(uuid.uuid4())
        self.max_message_bytes = max_message_bytes
        self.logs: list[list[ReadRecord]] = [[] for _ in range(partitions)]
        self.first = [0] * partitions  # offset of logs[p][0]

    def grow(self, partitions: int) -> None:
        """Add empty partitions until there are so many."""
        missing = partitions - len(self.logs)
        self.logs += [[] for _ in range(missing)]
        self.first += [0] * missing

    def end(self, partition: int) -> int:
        """Offset after the last record."""
        return self.first[partition] + len(self.logs[partition])


class MemoryGroup:
    """A consumer group's members, owners and commits."""

    def __init__(self) -> None:
        self.members: dict[int, frozenset[str]] = {}  # consumer -> topics it wants
        self.owners: dict[Partition, int] = {}
        self.commits: dict[Partition, Committed] = {}
        self.generation = 0


class MemoryBroker:
    """Topics, groups and records of one process; safe to use from several threads."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.topics: dict[str, MemoryTopic] = {}
        self.groups: dict[str, MemoryGroup] = defaultdict(MemoryGroup)
        self.paused = False
        self._ids = 0

    def create_topic(self, name: str, partitions: int = 1, max_message_bytes: int = DEFAULT_MESSAGE_BYTES) -> None:
        """Make an empty topic with a new id.

        Raises:
            TopicError: it exists.
        """
        with self.changed:
            if name in self.topics:
                raise TopicError(f"topic {name} exists: delete it first")
            self.topics[name] = MemoryTopic(partitions, max_message_bytes)
            self.changed.notify_all()

    def add_partitions(self, name: str, partitions: int) -> None:
        """Let a topic grow to so many partitions; it keeps its id and its records."""
        with self.changed:
            self.topics[name].grow(partitions)

    def delete_topic(self, name: str) -> None:
        """Delete a topic, its records and its commits."""
        with self.changed:
            self.topics.pop(name, None)
            for group in self.groups.values():
                group.commits = {p: c for p, c in group.commits.items() if p.topic != name}

    def delete_records(self, partition: Partition, before: int) -> None:
        """Drop the records before an offset, as retention does."""
        with self.changed:
            topic = self.topics[partition.topic]
            drop = max(0, min(before, topic.end(partition.partition)) - topic.first[partition.partition])
            del topic.logs[partition.partition][:drop]
            topic.first[partition.partition] += drop

    def pause(self) -> None:
        """Begin an outage: polls return nothing, commits fail, deliveries wait."""
        with self.changed:
            self.paused = True

    def resume(self) -> None:
        """End the outage."""
        with self.changed:
            self.paused = False
            self.changed.notify_all()

    def records(self, topic: str) -> list[ReadRecord]:
        """All records of a topic, partition by partition, for assertions in tests."""
        with self.changed:
            return [record for log in self.topics[topic].logs for record in log]

    def consumer(self, group_id: str | None = None) -> MemoryConsumer:
        """A new consumer."""
        from services.runtime.memory_consumer import MemoryConsumer  # that module needs this one

        with self.changed:
            self._ids += 1
            return MemoryConsumer(self, self._ids, group_id)

    def producer(self, stop: threading.Event | None = None) -> MemoryProducer:
        """A new producer; `stop` ends its waiting during an outage."""
        return MemoryProducer(self, stop or threading.Event())


class MemoryProducer(Producer):
    """See `services.runtime.log.Producer`."""

    def __init__(self, broker: MemoryBroker, stop: threading.Event) -> None:
        self._broker = broker
        self._stop = stop

    @override
    def prepare(self, topics: Iterable[str]) -> None:
        for topic in topics:
            self._topic(topic)

    @override
    def deliver(self, records: Sequence[Outgoing]) -> list[Sent]:
        with self._broker.changed:
            for record in records:
                self._check(record)
            while self._broker.paused:
                if self._stop.is_set():
                    raise StoppedError(f"stopped with {len(records)} records not acknowledged")
                self._broker.changed.wait(0.05)
            sent = [self._append(record) for record in records]
            self._broker.changed.notify_all()
            return sent

    def _topic(self, name: str) -> MemoryTopic:
        topic = self._broker.topics.get(name)
        if topic is None:
            raise TopicError(f"topic {name} does not exist: create it")
        return topic

    def _check(self, record: Outgoing) -> None:
        topic = self._topic(record.topic)
        if record.key is None and record.value is None:
            raise ValueError("key and value are both None: Kafka clients cannot send that")
        if record.size_bytes > topic.max_message_bytes:
            raise MessageTooLargeError(
                f"a message of {record.size_bytes} bytes is over the limit of topic {record.topic}, "
                f"{topic.max_message_bytes} bytes: raise the topic's max.message.bytes"
            )

    def _append(self, record: Outgoing) -> Sent:
        topic = self._broker.topics[record.topic]
        number = record.partition
        if number is None:
            number = zlib.crc32(record.key or b"") % len(topic.logs)
        offset = topic.end(number)
        timestamp = record.timestamp_ms if record.timestamp_ms is not None else time.time_ns() // 1_000_000
        topic.logs[number].append(
            ReadRecord(record.topic, number, offset, timestamp, record.key, record.value, record.headers)
        )
        return Sent(Partition(record.topic, number), offset)

    def close(self) -> None:
        """Nothing to free."""
