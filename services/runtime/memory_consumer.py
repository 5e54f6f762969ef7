"""The consumer of the log in process; see `services.runtime.memory`."""

from __future__ import annotations

import bisect
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from typing_extensions import override

from services.runtime.errors import TopicError
from services.runtime.log import Committed, Consumer, LogRecord, LogReset, Partition, Polled, ReadRecord
from services.runtime.memory import MemoryBroker, MemoryGroup, MemoryTopic

MAX_POLL_RECORDS = 500


class MemoryConsumer(Consumer):
    """See `services.runtime.log.Consumer`."""

    def __init__(self, broker: MemoryBroker, number: int, group_id: str | None) -> None:
        self._broker = broker
        self._number = number
        self._group = broker.groups[group_id] if group_id is not None else None
        self._positions: dict[Partition, int] = {}
        self._topic_ids: dict[str, str] = {}
        self._listeners: tuple[
            Callable[[frozenset[Partition]], Mapping[Partition, int]], Callable[[frozenset[Partition]], None]
        ] = (lambda _: {}, lambda _: None)
        self._fetched: set[Partition] = set()
        self._next = 0

    @override
    def assign(self, positions: Mapping[Partition, int]) -> None:
        self._positions = dict(positions)
        self._remember_topics()

    @override
    def subscribe(
        self,
        topics: Iterable[str],
        on_assigned: Callable[[frozenset[Partition]], Mapping[Partition, int]],
        on_revoked: Callable[[frozenset[Partition]], None],
    ) -> None:
        if self._group is None:
            raise ValueError("subscribe needs a consumer with a group_id")
        self._listeners = (on_assigned, on_revoked)
        with self._broker.changed:
            self._group.members[self._number] = frozenset(topics)
            self._group.generation += 1

    @override
    def poll(self, timeout_s: float) -> Polled:
        deadline = time.monotonic() + timeout_s
        with self._broker.changed:
            while True:
                polled = Polled() if self._broker.paused else self._take()
                left = deadline - time.monotonic()
                if polled.records or polled.resets or left <= 0:
                    return polled
                self._broker.changed.wait(min(left, 0.05))

    def _take(self) -> Polled:
        self._rebalance()
        resets = tuple(self._reset(p) for p in [p for p in self._positions if self._is_reset(p)])
        self._remember_topics()
        if resets:
            return Polled(resets=resets)
        records: dict[Partition, Sequence[LogRecord]] = {}
        room = MAX_POLL_RECORDS
        order = sorted(self._positions)
        self._next = (self._next + 1) % max(1, len(order))  # every partition comes first in its turn
        for partition in order[self._next :] + order[: self._next]:
            batch = self._fetch(partition, room)
            if batch:
                records[partition] = batch
                self._positions[partition] = batch[-1].offset + 1
                room -= len(batch)
        return Polled(records)

    def _fetch(self, partition: Partition, room: int) -> list[ReadRecord]:
        topic = self._broker.topics.get(partition.topic)
        if topic is None:
            return []
        self._fetched.add(partition)
        first = topic.first[partition.partition]
        start = max(0, self._positions[partition] - first)
        return topic.logs[partition.partition][start : start + room]

    def _is_reset(self, partition: Partition) -> bool:
        topic = self._broker.topics.get(partition.topic)
        if topic is None:
            return False
        known = self._topic_ids.setdefault(partition.topic, topic.id)
        return known != topic.id or self._positions[partition] > topic.end(partition.partition)

    def _reset(self, partition: Partition) -> LogReset:
        topic = self._broker.topics[partition.topic]
        self._positions[partition] = topic.first[partition.partition]
        return LogReset(partition, topic.id)

    def _remember_topics(self) -> None:
        for partition in self._positions:
            if (topic := self._broker.topics.get(partition.topic)) is not None:
                self._topic_ids[partition.topic] = topic.id

    def _rebalance(self) -> None:
        if self._group is None or self._number not in self._group.members:
            return
        wanted = self._target(self._group)
        lost = frozenset(self._positions) - wanted
        if lost:
            self._listeners[1](lost)
            for partition in lost:
                del self._positions[partition]
                self._group.owners.pop(partition, None)
        # A partition is taken only after its former owner gave it up, so that the owner can still commit.
        free = {p for p in wanted if self._group.owners.get(p, self._number) == self._number}
        new = frozenset(free - self._positions.keys())
        if new:
            self._group.owners.update(dict.fromkeys(new, self._number))
            self._positions.update(self._listeners[0](new))
            self._remember_topics()

    def _target(self, group: MemoryGroup) -> frozenset[Partition]:
        members = sorted(group.members)
        mine = members.index(self._number)
        every = sorted(p for topic in group.members[self._number] for p in self.partitions(topic))
        return frozenset(every[mine :: len(members)])

    @override
    def seek(self, partition: Partition, offset: int) -> None:
        self._positions[partition] = offset

    @override
    def partitions(self, topic: str) -> frozenset[Partition]:
        with self._broker.changed:
            known = self._broker.topics.get(topic)
            return frozenset(Partition(topic, n) for n in range(len(known.logs))) if known else frozenset()

    @override
    def topics(self) -> frozenset[str]:
        with self._broker.changed:
            return frozenset(self._broker.topics)

    @override
    def beginning(self, partition: Partition) -> int:
        return self._topic(partition).first[partition.partition]

    @override
    def end(self, partition: Partition) -> int:
        with self._broker.changed:
            return self._topic(partition).end(partition.partition)

    @override
    def offset_at(self, partition: Partition, timestamp_ms: int) -> int:
        with self._broker.changed:
            log = self._topic(partition).logs[partition.partition]
            found = bisect.bisect_left(log, timestamp_ms, key=lambda record: record.timestamp)
            return self._topic(partition).first[partition.partition] + found

    @override
    def lag(self, partition: Partition) -> int | None:
        if partition not in self._fetched or partition not in self._positions:
            return None
        return max(0, self.end(partition) - self._positions[partition])

    @override
    def topic_id(self, topic: str) -> str | None:
        known = self._broker.topics.get(topic)
        return known.id if known else None

    def _topic(self, partition: Partition) -> MemoryTopic:
        topic = self._broker.topics.get(partition.topic)
        if topic is None or partition.partition >= len(topic.logs):
            raise TopicError(f"partition {partition} does not exist: create the topic")
        return topic

    @override
    def commit(self, offsets: Mapping[Partition, Committed]) -> bool:
        with self._broker.changed:
            if self._group is None:
                raise ValueError("commit needs a consumer with a group_id")
            subscribed = self._number in self._group.members
            foreign = any(self._group.owners.get(p) != self._number for p in offsets)
            if self._broker.paused or (subscribed and foreign):
                return False
            self._group.commits.update(offsets)
            return True

    @override
    def committed(self, partition: Partition) -> Committed | None:
        with self._broker.changed:
            return self._group.commits.get(partition) if self._group is not None else None

    @property
    @override
    def generation(self) -> int:
        subscribed = self._group is not None and self._number in self._group.members
        return self._group.generation if self._group is not None and subscribed else -1

    @override
    def close(self) -> None:
        with self._broker.changed:
            if self._group is not None and self._group.members.pop(self._number, None) is not None:
                self._group.owners = {p: n for p, n in self._group.owners.items() if n != self._number}
                self._group.generation += 1
            self._positions.clear()
            self._broker.changed.notify_all()
