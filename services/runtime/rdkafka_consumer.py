"""The consumer on Kafka with librdkafka: reading a record costs the loop a fifth of what kafka-python takes.

It promises what `services.runtime.kafka_consumer` promises. Where the two libraries differ:

- librdkafka fetches, decompresses and checks in threads of its own, without Python's lock.
- It moves on silently to a topic that was made again, at the old offset; `rdkafka_topics` finds that out.
- After an offset out of range it stands still, and may be moved by a new assignment only: so every move is one.
- A commit that waits for its answer waits as long as the broker is away, and holds up every other call: so it is
  sent without waiting, and its answer waited for up to 5 s by serving the queue that brings it. Rebalance
  callbacks may therefore run inside `commit` too. Only within them a commit waits as it is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from typing_extensions import override

from services.runtime import log as seam
from services.runtime.errors import BrokerError, TopicError
from services.runtime.kafka import MIB
from services.runtime.log import Committed, LogRecord, LogReset, Partition, Polled, ReadRecord
from services.runtime.out_of_range import nearest_offset
from services.runtime.rdkafka import broker_errors, client_options, said
from services.runtime.rdkafka_topics import TopicIds
from services.runtime.settings import ClusterSettings

log = structlog.get_logger(component="kafka")

MAX_POLL_RECORDS = 500
_COMMIT_TIMEOUT_S = 5.0
_COMMIT_LOOK_S = 0.002
"""The answer to a commit ends no wait for records, so the wait is cut in slices."""
_RETRY_PAUSE_S = 0.1
_LOST_PARTITIONS = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError._ASSIGNMENT_LOST,
        KafkaError._STATE,
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError._WAIT_COORD,
        KafkaError._NO_OFFSET,
        KafkaError.UNKNOWN_TOPIC_OR_PART,  # the topic is being made again; librdkafka does not call it retriable
    }
)
"""A commit that fails so was not made, and the records will be read again."""
_COORDINATOR_MOVES = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError._WAIT_COORD,
    }
)
"""For a while after a broker came back nobody answers for a group."""
_OUT_OF_RANGE = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._LOG_TRUNCATION)
_HOPELESS = (
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError._SSL,
    KafkaError._FATAL,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError._BAD_MSG,
    KafkaError._BAD_COMPRESSION,
    KafkaError.MSG_SIZE_TOO_LARGE,
)
"""Waiting mends none of these. After a damaged batch librdkafka would go on behind it: its records were lost."""


def consumer_options(cluster: ClusterSettings, client_id: str, group_id: str) -> dict[str, Any]:
    """Options of a consumer."""
    return client_options(cluster, client_id) | {
        "group.id": group_id,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "check.crcs": True,
        "session.timeout.ms": int(cluster.session_timeout_s * 1000),
        "heartbeat.interval.ms": int(cluster.heartbeat_s * 1000),
        "max.poll.interval.ms": int(max(cluster.max_poll_interval_s, cluster.session_timeout_s) * 1000),
        "max.partition.fetch.bytes": 4 * MIB,
        # Some 30,000 records of 1 kB wait for the loop; by default 64 MiB would, and a full queue be looked at
        # again only after a second.
        "queued.max.messages.kbytes": 32 * 1024,
        "fetch.queue.backoff.ms": 5,
    }


class RdkafkaLogConsumer(seam.Consumer):
    """See `services.runtime.log.Consumer`; made by `services.runtime.kafka.open_consumer`.

    Args:
        cluster: where; a broker must have answered there.
        client_id: name in the broker's logs and quotas.
        group_id: librdkafka has no consumer without one.
    """

    def __init__(self, cluster: ClusterSettings, client_id: str, group_id: str) -> None:
        self._cluster = cluster
        self._topics = TopicIds(cluster, client_id)
        self._ids: dict[str, str | None] = {}
        self._positions: dict[Partition, int] = {}
        self._fetched: set[Partition] = set()
        self._rebalances = -1
        self._failure: BaseException | None = None
        self._closing = False
        self._never = threading.Event()
        self._held: list[Any] = []
        """Messages that came while a commit was waited for."""
        self._moves = 0
        self._in_callback = self._lost = False
        """Whether a rebalance waits for us, and whether it took what we had without asking."""
        self._commits_under_way = False
        self._commit_errors: list[KafkaError] = []
        callbacks = {"error_cb": self._error, "on_commit": self._answered}
        self._kafka = Consumer(consumer_options(cluster, client_id, group_id) | callbacks)

    # -- what is read ------------------------------------------------------------------------------------

    @override
    def assign(self, positions: Mapping[Partition, int]) -> None:
        self._positions = dict(positions)
        self._started(positions)
        self._move()

    @override
    def subscribe(
        self,
        topics: Iterable[str],
        on_assigned: Callable[[frozenset[Partition]], Mapping[Partition, int]],
        on_revoked: Callable[[frozenset[Partition]], None],
    ) -> None:
        def assigned(_: Consumer, partitions: list[TopicPartition]) -> None:
            with self._kept():
                positions = on_assigned(_named(partitions))
                self._positions = dict(positions)
                self._started(positions)
                self._move()
                self._rebalances += 1

        def lost(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            self._lost = True
            revoked(consumer, partitions)
            self._lost = False

        def revoked(_: Consumer, partitions: list[TopicPartition]) -> None:
            if self._closing:
                return
            with self._kept():
                on_revoked(_named(partitions))
            for partition in _named(partitions):
                self._positions.pop(partition, None)
                self._fetched.discard(partition)

        wanted = list(topics)
        if missing := sorted(set(wanted) - self._topics.now(wanted).keys()):
            raise TopicError(f"topic {', '.join(missing)} does not exist: create it")
        self._rebalances = max(0, self._rebalances)
        self._kafka.subscribe(wanted, on_assign=assigned, on_revoke=revoked, on_lost=lost)

    def _kept(self) -> _Kept:
        return _Kept(self)

    def _started(self, positions: Mapping[Partition, int]) -> None:
        topics = {partition.topic for partition in positions}
        current = self._topics.now(topics)
        if missing := sorted(topics - current.keys()):
            raise TopicError(f"topic {', '.join(missing)} does not exist: create it")
        # The id that is known stays: if the topic was replaced since, the next poll has to notice.
        self._ids = {topic: self._ids.get(topic, topic_id) for topic, topic_id in current.items()}

    def _move(self) -> None:
        """Read every partition at its position; what was fetched already is dropped."""
        self._moves += 1
        self._held.clear()
        with broker_errors(self._cluster, "assigning partitions"):
            self._kafka.assign([TopicPartition(*p, offset) for p, offset in self._positions.items()])

    @override
    def poll(self, timeout_s: float) -> Polled:
        messages = self._fetch(timeout_s)
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        records, lost = self._sorted(messages)
        moves = self._moves
        try:
            resets = self._replaced_topics(lost) or (() if records else self._shrunk_logs())
        except BrokerError as error:
            # An outage between fetch and question. What was fetched is not known to be right: fetch it again.
            log.warning("cannot ask whether a log was replaced", why=str(error))
            self._move()
            return Polled()
        if resets or not records or moves != self._moves:  # a move fetches the records again
            return Polled(resets=resets)
        for partition, batch in records.items():
            self._positions[partition] = batch[-1].offset + 1
        self._fetched.update(records)
        return Polled(records)

    def _fetch(self, timeout_s: float) -> list[Any]:
        """What has been fetched, up to 500 records; waits only while there is nothing."""
        if self._held:
            messages, self._held = self._held[:MAX_POLL_RECORDS], self._held[MAX_POLL_RECORDS:]
            return messages
        moves = self._moves
        try:
            # `consume` with a time-out would wait until all 500 are there.
            messages = self._kafka.consume(MAX_POLL_RECORDS, 0.0)
            if not messages and (first := self._kafka.poll(timeout_s)) is not None:
                messages = [first, *self._kafka.consume(MAX_POLL_RECORDS - 1, 0.0)]
        except KafkaException as error:
            if error.args[0].retriable():
                self._never.wait(min(_RETRY_PAUSE_S, timeout_s))
                return []
            with broker_errors(self._cluster, "reading"):
                raise
        if messages and moves != self._moves:
            # A rebalance in the midst: some may be of the assignment before. Read them all again.
            self._move()
            return []
        return messages

    def _sorted(self, messages: Sequence[Any]) -> tuple[dict[Partition, Sequence[LogRecord]], list[Partition]]:
        """Records by partition, and partitions whose position is outside of their log."""
        records: dict[Partition, list[LogRecord]] = {}
        lost: list[Partition] = []
        for message in messages:
            topic, number, offset = message.topic(), message.partition(), message.offset()
            if (error := message.error()) is not None:
                if error.code() in _OUT_OF_RANGE:
                    lost.append(Partition(topic, number))
                elif error.code() in _HOPELESS:
                    with broker_errors(self._cluster, f"reading {topic}"):
                        raise KafkaException(error)
                else:
                    log.debug("librdkafka", partition=f"{topic}:{number}", why=said(error))
                continue
            partition = Partition(topic, number)
            # Not those of a partition that was revoked, or moved back, in the same call of `consume`.
            if (batch := records.get(partition)) is None:
                if partition not in self._positions:
                    continue
                batch = records[partition] = []
            _, stamp = message.timestamp()
            headers = message.headers() or ()
            batch.append(ReadRecord(topic, number, offset, stamp, message.key(), message.value(), headers))
        return dict(records), lost

    @override
    def seek(self, partition: Partition, offset: int) -> None:
        self._positions[partition] = offset
        self._move()

    # -- questions ---------------------------------------------------------------------------------------

    @override
    def partitions(self, topic: str) -> frozenset[Partition]:
        with broker_errors(self._cluster, "asking for topics"):
            found = self._kafka.list_topics(topic, self._cluster.request_timeout_s).topics.get(topic)
        if found is None or found.error is not None:
            return frozenset()
        return frozenset(Partition(topic, number) for number in found.partitions)

    @override
    def topics(self) -> frozenset[str]:
        with broker_errors(self._cluster, "asking for topics"):
            return frozenset(self._kafka.list_topics(timeout=self._cluster.request_timeout_s).topics)

    @override
    def beginning(self, partition: Partition) -> int:
        return self._watermarks(partition)[0]

    @override
    def end(self, partition: Partition) -> int:
        return self._watermarks(partition)[1]

    def _watermarks(self, partition: Partition) -> tuple[int, int]:
        with broker_errors(self._cluster, f"asking for offsets of {partition}"):
            low, high = self._kafka.get_watermark_offsets(
                TopicPartition(*partition), timeout=self._cluster.request_timeout_s
            )
        return low, high

    @override
    def offset_at(self, partition: Partition, timestamp_ms: int) -> int:
        asked = [TopicPartition(*partition, timestamp_ms)]
        with broker_errors(self._cluster, f"asking for an offset of {partition} by time"):
            (found,) = self._kafka.offsets_for_times(asked, self._cluster.request_timeout_s)
        return int(found.offset) if found.offset >= 0 else self.end(partition)

    @override
    def lag(self, partition: Partition) -> int | None:
        position = self._positions.get(partition)
        highwater = self._highwater(partition)
        return None if highwater is None or position is None else max(0, highwater - position)

    def _highwater(self, partition: Partition) -> int | None:
        """As of the last fetch, without a question to the broker."""
        if partition not in self._fetched:
            return None
        _, high = self._kafka.get_watermark_offsets(TopicPartition(*partition), cached=True)
        return high if high >= 0 else None

    @override
    def topic_id(self, topic: str) -> str | None:
        found = self._topics.now([topic])
        if topic not in found:
            raise TopicError(f"topic {topic} does not exist: create it")
        return found[topic]

    # -- commits -----------------------------------------------------------------------------------------

    @override
    def commit(self, offsets: Mapping[Partition, Committed]) -> bool:
        wanted = [TopicPartition(*p, committed.offset, committed.metadata) for p, committed in offsets.items()]
        if self._lost or self._commits_under_way:
            return False
        try:
            if self._in_callback:
                self._answered(None, self._kafka.commit(offsets=wanted, asynchronous=False))
            else:
                self._commits_under_way = True
                self._kafka.commit(offsets=wanted, asynchronous=True)
                self._wait_for_commit()
        except KafkaException as error:
            self._answered(error.args[0], ())
        return not self._commits_under_way and not any(map(self._refused, self._commit_errors))

    def _wait_for_commit(self) -> None:
        """Serve the consumer's queue until the answer comes; records that come first are kept for `poll`."""
        deadline = time.monotonic() + _COMMIT_TIMEOUT_S
        while self._commits_under_way and (left := deadline - time.monotonic()) > 0:
            if (message := self._kafka.poll(min(left, _COMMIT_LOOK_S))) is not None:
                self._held.append(message)

    def _answered(self, error: KafkaError | None, partitions: Iterable[TopicPartition]) -> None:
        self._commits_under_way = False
        self._commit_errors = [each for each in (error, *(p.error for p in partitions)) if each is not None]

    def _refused(self, error: KafkaError) -> bool:
        """True where the records will just be read again; else raises."""
        if error.retriable() or error.code() in _LOST_PARTITIONS:
            return True
        with broker_errors(self._cluster, "committing"):
            raise KafkaException(error)

    @override
    def committed(self, partition: Partition) -> Committed | None:
        deadline = time.monotonic() + self._cluster.request_timeout_s
        while True:
            with broker_errors(self._cluster, f"asking for the commit of {partition}"):
                try:
                    (found,) = self._kafka.committed([TopicPartition(*partition)], self._cluster.request_timeout_s)
                    if found.error is not None:
                        raise KafkaException(found.error)
                    return Committed(found.offset, found.metadata or "") if found.offset >= 0 else None
                except KafkaException as error:
                    if error.args[0].code() not in _COORDINATOR_MOVES or time.monotonic() > deadline:
                        raise
            time.sleep(_RETRY_PAUSE_S)

    @property
    def generation(self) -> int:
        """Number of assignments of this member: librdkafka tells nobody the group's own number."""
        return self._rebalances

    @override
    def close(self) -> None:
        self._closing = True
        self._kafka.close()

    # -- errors ------------------------------------------------------------------------------------------

    def _error(self, error: KafkaError) -> None:
        """Called by librdkafka within a poll; most of it is an outage that it mends itself."""
        if error.code() in _HOPELESS:
            try:
                with broker_errors(self._cluster, "connecting"):
                    raise KafkaException(error)
            except BrokerError as failure:
                self._failure = failure
        else:
            log.debug("librdkafka", why=said(error))

    # -- logs that were replaced -------------------------------------------------------------------------

    def _replaced_topics(self, lost: Sequence[Partition]) -> tuple[LogReset, ...]:
        seen = self._topics.looked_up(self._ids, time.monotonic())
        if lost:
            seen = {**seen, **self._topics.now({partition.topic for partition in lost})}
        changed = {topic for topic, new in seen.items() if new is not None and new != self._ids.get(topic)}
        resets = self._restart([partition for partition in self._positions if partition.topic in changed], seen)
        # Last: if a question above fails, the caller was not told, and the next poll must find the same again.
        self._ids.update({topic: seen[topic] for topic in changed})
        rest = [partition for partition in lost if partition.topic in seen and partition.topic not in changed]
        return resets + tuple(reset for partition in rest for reset in self._moved(partition))

    def _restart(self, partitions: Sequence[Partition], ids: Mapping[str, str | None]) -> tuple[LogReset, ...]:
        if not partitions:
            return ()
        # All questions before the first change: either every reset is told, or none was done.
        beginnings = {partition: self.beginning(partition) for partition in partitions}
        for partition, beginning in beginnings.items():
            self._positions[partition] = beginning
            log.warning("log was replaced, reading its beginning", partition=str(partition))
        self._fetched.difference_update(beginnings)
        self._move()
        return tuple(LogReset(partition, ids.get(partition.topic)) for partition in partitions)

    def _shrunk_logs(self) -> tuple[LogReset, ...]:
        """Without topic ids: a high-water mark before our position means a new log."""
        return self._restart(
            [
                partition
                for partition, position in self._positions.items()
                if self._ids.get(partition.topic) is None
                and (highwater := self._highwater(partition)) is not None
                and highwater < position
            ],
            {},
        )

    def _moved(self, partition: Partition) -> Sequence[LogReset]:
        """The same log, but our position is outside of it."""
        position = self._positions.get(partition, 0)
        beginning, end = self._watermarks(partition)
        if position > end and self._ids.get(partition.topic) is None:
            return self._restart([partition], {})
        self.seek(partition, nearest_offset(partition, position, beginning, end))
        return []


class _Kept:
    """Keeps what a callback raised for `poll`, which raises it: through librdkafka it would lose its trace."""

    def __init__(self, consumer: RdkafkaLogConsumer) -> None:
        self._consumer = consumer

    def __enter__(self) -> None:
        self._consumer._in_callback = True

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        self._consumer._in_callback = False
        if error is not None:
            self._consumer._failure = error
        return error is not None


def _named(partitions: Iterable[TopicPartition]) -> frozenset[Partition]:
    return frozenset(Partition(each.topic, each.partition) for each in partitions)
