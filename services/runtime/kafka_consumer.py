"""The consumer on Kafka.

Its main care is a log that was replaced under it (topic deleted and made again, in-memory broker restarted):
kafka-python either jumps to the new log's end (`auto_offset_reset='earliest'`) or, with 'none', raises once and
then reads on silently as soon as the new log has grown past its position. So topic ids are compared on these
errors and whenever the client's metadata shows another id, and the caller is told with a `LogReset`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import structlog
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    KafkaError,
    LogTruncationError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from typing_extensions import override

from services.runtime.errors import BrokerError, TopicError
from services.runtime.kafka import broker_errors, connect, consumer_options, open_admin
from services.runtime.kafka_admin import plain_id
from services.runtime.kafka_rebalance import Rebalance
from services.runtime.log import Committed, Consumer, LogReset, Partition, Polled
from services.runtime.out_of_range import nearest_offset
from services.runtime.settings import ClusterSettings

log = structlog.get_logger(component="kafka")

_COMMIT_TIMEOUT_MS = 5000
_RETRY_PAUSE_S = 0.1
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.001, 0.05
_LOST_PARTITIONS = (CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)


class KafkaLogConsumer(Consumer):
    """See `services.runtime.log.Consumer`; made by `services.runtime.kafka.open_consumer`."""

    def __init__(self, cluster: ClusterSettings, client_id: str, group_id: str | None) -> None:
        self._cluster = cluster
        self._client_id = client_id
        self._group_id = group_id
        self._ids: dict[str, str | None] = {}
        self._rebalance: Rebalance | None = None
        self._never = threading.Event()
        self._pause_s = _SHORTEST_PAUSE_S
        with broker_errors(cluster, "connecting"):
            self._kafka = connect(KafkaConsumer, consumer_options(cluster, client_id, group_id))

    @override
    def assign(self, positions: Mapping[Partition, int]) -> None:
        self._kafka.assign([TopicPartition(*partition) for partition in positions])
        self._started(positions)

    @override
    def subscribe(
        self,
        topics: Iterable[str],
        on_assigned: Callable[[frozenset[Partition]], Mapping[Partition, int]],
        on_revoked: Callable[[frozenset[Partition]], None],
    ) -> None:
        def assigned(partitions: frozenset[Partition]) -> None:
            self._started(on_assigned(partitions))

        wanted = list(topics)
        with broker_errors(self._cluster, "asking for topics"):
            # The leader shares out what its metadata knows. If that comes later than the first join, kafka-python
            # can miss it and stay without partitions.
            missing = [topic for topic in wanted if not self._kafka.partitions_for_topic(topic)]
        if missing:
            raise TopicError(f"topic {', '.join(missing)} does not exist: create it")
        self._rebalance = Rebalance(self._kafka, assigned, on_revoked)
        self._kafka.subscribe(topics=wanted, listener=self._rebalance)

    def _started(self, positions: Mapping[Partition, int]) -> None:
        for partition, offset in positions.items():
            self._kafka.seek(TopicPartition(*partition), offset)
        current = self._current_ids({partition.topic for partition in positions})
        # The id that is known stays: if the topic was replaced since, the next poll has to notice.
        self._ids = {topic: self._ids.get(topic, topic_id) for topic, topic_id in current.items()}

    @override
    def poll(self, timeout_s: float) -> Polled:
        started = time.monotonic()
        try:
            batches = self._fetch(timeout_s)
        except (OffsetOutOfRangeError, LogTruncationError) as error:
            return Polled(resets=self._out_of_range(error))
        except NoOffsetForPartitionError:
            # Between an assignment and its seek; the next poll has the position.
            return Polled()
        except KafkaError as error:
            if self._rebalance is not None:
                self._rebalance.raise_failure()
            if not error.retriable:
                with broker_errors(self._cluster, "reading"):
                    raise
            # An outage: kafka-python raises at once, so the rest of the time is waited here.
            self._never.wait(max(0.0, min(_RETRY_PAUSE_S, timeout_s - (time.monotonic() - started))))
            return Polled()
        try:
            resets = self._replaced_topics() or (() if batches else self._shrunk_logs())
        except BrokerError as error:
            # An outage between fetch and question. What was fetched is not known to be right: fetch it again.
            log.warning("cannot ask whether a log was replaced", why=str(error))
            for partition, records in batches.items():
                self._kafka.seek(partition, records[0].offset)
            return Polled()
        if resets or not batches:
            # What was fetched may be of the new log at the old log's offsets.
            return Polled(resets=resets)
        return Polled({Partition(*partition): records for partition, records in batches.items()})

    def _fetch(self, timeout_s: float) -> Mapping[Any, Any]:
        """What the client fetched, waiting for it at the broker or, where the broker does not wait, here.

        The embedded broker answers a fetch that finds nothing at once instead of after `fetch_max_wait_ms`: a
        client that just asks again does so 1,000 times a second, for half a core. Having no topic ids gives it
        away. The pause between two questions doubles while nothing comes.
        """
        if None not in self._ids.values():
            batches: Mapping[Any, Any] = self._kafka.poll(timeout_ms=int(timeout_s * 1000))
            return batches
        deadline = time.monotonic() + timeout_s
        while not (batches := self._kafka.poll(timeout_ms=0)) and (left := deadline - time.monotonic()) > 0:
            self._never.wait(min(self._pause_s, left))
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        if batches:
            self._pause_s = _SHORTEST_PAUSE_S
        return batches

    @override
    def seek(self, partition: Partition, offset: int) -> None:
        self._kafka.seek(TopicPartition(*partition), offset)

    @override
    def partitions(self, topic: str) -> frozenset[Partition]:
        with open_admin(self._cluster, client_id=self._client_id) as admin:
            count = admin.partition_counts([topic]).get(topic, 0)
        return frozenset(Partition(topic, number) for number in range(count))

    @override
    def topics(self) -> frozenset[str]:
        with broker_errors(self._cluster, "asking for topics"):
            return frozenset(self._kafka.topics())

    @override
    def beginning(self, partition: Partition) -> int:
        return self._offset(self._kafka.beginning_offsets, partition)

    @override
    def end(self, partition: Partition) -> int:
        return self._offset(self._kafka.end_offsets, partition)

    def _offset(self, lookup: Callable[[list[Any]], Mapping[Any, int]], partition: Partition) -> int:
        known = TopicPartition(*partition)
        with broker_errors(self._cluster, f"asking for offsets of {partition}"):
            return lookup([known])[known]

    @override
    def offset_at(self, partition: Partition, timestamp_ms: int) -> int:
        known = TopicPartition(*partition)
        with broker_errors(self._cluster, f"asking for an offset of {partition} by time"):
            found = self._kafka.offsets_for_times({known: timestamp_ms})[known]
        return found.offset if found is not None else self.end(partition)

    @override
    def lag(self, partition: Partition) -> int | None:
        known = TopicPartition(*partition)
        if known not in self._kafka.assignment():
            return None
        highwater, position = self._kafka.highwater(known), self._position(partition)
        return None if highwater is None or position is None else max(0, highwater - position)

    def _position(self, partition: Partition) -> int | None:
        """Where the client stands, without a question to the broker; None where it has to ask one first."""
        try:
            position: int | None = self._kafka.position(TopicPartition(*partition), timeout_ms=0)
        except KafkaError:  # a replaced log or an outage: `poll` meets the same and handles it
            return None
        return position

    @override
    def topic_id(self, topic: str) -> str | None:
        return self._current_ids({topic}).get(topic)

    @override
    def commit(self, offsets: Mapping[Partition, Committed]) -> bool:
        wanted = {
            TopicPartition(*partition): OffsetAndMetadata(committed.offset, committed.metadata, -1)
            for partition, committed in offsets.items()
        }
        try:
            self._kafka.commit(wanted, timeout_ms=_COMMIT_TIMEOUT_MS)
        except _LOST_PARTITIONS:
            return False
        except KafkaError as error:
            if error.retriable:
                return False
            with broker_errors(self._cluster, "committing"):
                raise
        return True

    @override
    def committed(self, partition: Partition) -> Committed | None:
        with broker_errors(self._cluster, f"asking for the commit of {partition}"):
            found = self._kafka.committed(TopicPartition(*partition), metadata=True)
        return Committed(found.offset, found.metadata or "") if found is not None else None

    @property
    @override
    def generation(self) -> int:
        return int(self._kafka.group_metadata().generation_id) if self._rebalance is not None else -1

    @override
    def close(self) -> None:
        if self._rebalance is not None:
            self._rebalance.closing = True
        self._kafka.close(autocommit=False, timeout_ms=_COMMIT_TIMEOUT_MS)

    # -- logs that were replaced -------------------------------------------------------------------------

    def _current_ids(self, topics: set[str]) -> dict[str, str | None]:
        if not topics:
            return {}
        with open_admin(self._cluster, client_id=self._client_id) as admin:
            found = admin.topic_ids(topics)
        if missing := sorted(topics - found.keys()):
            raise TopicError(f"topic {', '.join(missing)} does not exist: create it")
        return found

    def _replaced_topics(self) -> tuple[LogReset, ...]:
        metadata = self._kafka._cluster  # no public way to the id that the client itself has seen
        suspects = {
            topic
            for topic, known in self._ids.items()
            if known is not None and (seen := plain_id(metadata.topic_id(topic))) is not None and seen != known
        }
        # The client's metadata may also be older than ours: only a fresh answer decides.
        return self._resets_of(suspects) if suspects else ()

    def _resets_of(self, topics: set[str]) -> tuple[LogReset, ...]:
        with open_admin(self._cluster, client_id=self._client_id) as admin:
            fresh = admin.topic_ids(topics)
        changed = {topic for topic, new in fresh.items() if new is not None and new != self._ids.get(topic)}
        resets = self._restart([partition for partition in self._assigned() if partition.topic in changed], fresh)
        # Last: if a question above fails, the caller was not told, and the next poll must find the same again.
        self._ids.update({topic: fresh[topic] for topic in changed})
        return resets

    def _restart(self, partitions: Sequence[Partition], ids: Mapping[str, str | None]) -> tuple[LogReset, ...]:
        # All questions before the first change: either every reset is told, or none was done.
        for partition, beginning in {partition: self.beginning(partition) for partition in partitions}.items():
            self.seek(partition, beginning)
            log.warning("log was replaced, reading its beginning", partition=str(partition))
        return tuple(LogReset(partition, ids.get(partition.topic)) for partition in partitions)

    def _assigned(self) -> list[Partition]:
        return sorted(Partition(*partition) for partition in self._kafka.assignment())

    def _shrunk_logs(self) -> tuple[LogReset, ...]:
        """Without topic ids: a high-water mark before our position means a new log."""
        shrunk = []
        for partition in self._assigned():
            known = TopicPartition(*partition)
            highwater = self._kafka.highwater(known)
            if self._ids.get(partition.topic) is None and highwater is not None:
                position = self._position(partition)
                if position is not None and 0 <= highwater < position:
                    shrunk.append(partition)
        return self._restart(shrunk, {})

    def _out_of_range(self, error: OffsetOutOfRangeError | LogTruncationError) -> tuple[LogReset, ...]:
        positions = error.divergent_offsets if isinstance(error, LogTruncationError) else error.args[0]
        partitions = [Partition(*partition) for partition in positions]
        try:
            resets = self._resets_of({partition.topic for partition in partitions})
            done = {reset.partition for reset in resets}
            return resets + tuple(
                reset for partition in partitions if partition not in done for reset in self._moved(partition)
            )
        except (
            KafkaError,
            BrokerError,
            TopicError,
        ):  # the topic is just being made again: the next poll raises again
            return ()

    def _moved(self, partition: Partition) -> Sequence[LogReset]:
        """The same log, but our position is outside of it."""
        position = self._position(partition) or 0
        beginning, end = self.beginning(partition), self.end(partition)
        if position > end and self._ids.get(partition.topic) is None:
            return self._restart([partition], {})
        self.seek(partition, nearest_offset(partition, position, beginning, end))
        return []
