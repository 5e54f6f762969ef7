"""The producer on Kafka: every record's own acknowledgement is awaited.

`flush` of kafka-python only logs failures, and one message over its topic's limit makes an idempotent producer
fail every later send. So sizes are checked before sending, each future is asked, and a producer that failed for
good is replaced by a new one that sends again what was not acknowledged.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import structlog
from kafka import KafkaProducer
from kafka.errors import AuthorizationError, InvalidTopicError, KafkaError, MessageSizeTooLargeError
from typing_extensions import override

from services.runtime.errors import BrokerError, MessageTooLargeError, StoppedError, TopicError
from services.runtime.kafka import broker_errors, connect, open_admin, producer_options
from services.runtime.log import Outgoing, Partition, Producer, Sent
from services.runtime.logging import Paced
from services.runtime.rdkafka import Compression
from services.runtime.settings import ClusterSettings

log = structlog.get_logger(component="kafka")

_LIMITS_MAX_AGE_S = 300.0
_LIMITS_TIMEOUT_S = 5.0  # short, so that an outage does not hide the stop
_STOP_GRACE_S = 5.0
_WAIT_SLICE_S = 0.25
_RETRY_PAUSE_S = 0.2


class KafkaLogProducer(Producer):
    """See `services.runtime.log.Producer`; made by `services.runtime.kafka.open_producer`."""

    def __init__(
        self, cluster: ClusterSettings, client_id: str, stop: threading.Event, compression: Compression = "lz4"
    ) -> None:
        self._cluster = cluster
        self._options = producer_options(cluster, client_id, compression)
        self._client_id = client_id
        self._stop = stop
        self._kafka: Any = None
        self._limits: dict[str, int] = {}
        self._limits_until = 0.0
        self._failures = Paced()

    @override
    def prepare(self, topics: Iterable[str]) -> None:
        wanted = set(topics)
        self._read_limits(wanted)
        with suppress(KafkaError):  # an outage: the first delivery will wait for its end
            producer = self._connected()
            for topic in wanted:
                producer.partitions_for(topic)

    @override
    def deliver(self, records: Sequence[Outgoing]) -> list[Sent]:
        self._check(records)
        grace = _Grace(self._stop)
        sent: dict[int, Sent] = {}
        while len(sent) < len(records):
            missing = [number for number in range(len(records)) if number not in sent]
            try:
                failure = self._attempt(records, missing, sent, grace)
            except KafkaError as error:  # no connection: nothing of this attempt was sent
                failure = error
            if failure is not None:
                self._after_failure(failure, len(records) - len(sent), grace)
        if self._failures.over():
            log.info("sent after failures", records=len(records))
        return [sent[number] for number in range(len(records))]

    def _attempt(
        self, records: Sequence[Outgoing], missing: list[int], sent: dict[int, Sent], grace: _Grace
    ) -> KafkaError | None:
        """Send what is missing once; what was acknowledged is added to `sent`. Returns the worst failure."""
        producer = self._connected()
        futures = [(number, self._send(producer, records[number])) for number in missing]
        failures: list[KafkaError] = []
        # All of them are there, so nothing is gained by lingering. What it fails at, the futures tell.
        with suppress(KafkaError):
            producer.flush(timeout=_WAIT_SLICE_S)
        for number, future in futures:
            if isinstance(future, KafkaError):
                failures.append(future)
                continue
            while not future.is_done:
                if grace.over:
                    raise StoppedError(f"stopped with {len(records) - len(sent)} records not acknowledged")
                # A slice that ends without an answer raises too; only `is_done` tells.
                with suppress(KafkaError):
                    future.get(timeout=_WAIT_SLICE_S)
            if future.failed():
                failures.append(future.exception)
            else:
                done = future.value
                sent[number] = Sent(Partition(done.topic, done.partition), done.offset)
        return min(failures, key=lambda error: bool(error.retriable), default=None)

    @staticmethod
    def _send(producer: Any, record: Outgoing) -> Any:
        try:
            return producer.send(
                record.topic,
                value=record.value,
                key=record.key,
                headers=list(record.headers),
                partition=record.partition,
                timestamp_ms=record.timestamp_ms,
            )
        except KafkaError as error:
            return error

    def _after_failure(self, failure: KafkaError, left: int, grace: _Grace) -> None:
        if isinstance(failure, AuthorizationError | InvalidTopicError):
            with broker_errors(self._cluster, "sending"):
                raise failure
        if times := self._failures.happened():
            log.warning("sending again", error=type(failure).__name__, records=left, times=times)
        if not failure.retriable:
            # Fatal for an idempotent producer: it would fail every later send.
            self._discard()
        if isinstance(failure, MessageSizeTooLargeError):
            raise MessageTooLargeError(
                f"the broker refused a message for its size ({failure}): raise the topic's max.message.bytes"
            )
        if grace.over or self._stop.wait(_RETRY_PAUSE_S):
            raise StoppedError(f"stopped with {left} records not acknowledged")

    def _connected(self) -> Any:
        if self._kafka is None:
            self._kafka = connect(KafkaProducer, self._options)
        return self._kafka

    def _discard(self) -> None:
        producer, self._kafka = self._kafka, None
        self._limits_until = 0.0
        if producer is not None:
            with suppress(KafkaError):
                producer.close(timeout=0)

    # -- size limits -------------------------------------------------------------------------------------

    def _check(self, records: Sequence[Outgoing]) -> None:
        for record in records:
            if record.key is None and record.value is None:
                raise ValueError("key and value are both None: Kafka clients cannot send that")
        if {record.topic for record in records} - self._limits.keys() or time.monotonic() > self._limits_until:
            self._read_limits({record.topic for record in records})
        for record in records:
            limit = self._limits[record.topic]
            if record.size_bytes > limit:
                raise MessageTooLargeError(
                    f"a message of {record.size_bytes} bytes is over the limit of topic {record.topic}, "
                    f"{limit} bytes: raise the topic's max.message.bytes"
                )

    def _read_limits(self, topics: set[str]) -> None:
        """Read `max.message.bytes`; waits through an outage until the stop."""
        quick = self._cluster.model_copy(update={"request_timeout_s": _LIMITS_TIMEOUT_S})
        while True:
            try:
                with open_admin(quick, client_id=self._client_id) as admin:
                    states = admin.describe(topics | self._limits.keys())
                break
            except BrokerError:
                if topics <= self._limits.keys():
                    return  # what was known will do
                if self._stop.wait(_RETRY_PAUSE_S):
                    raise StoppedError(
                        f"stopped before the settings of {', '.join(sorted(topics))} were read"
                    ) from None
        if missing := sorted(topics - states.keys()):
            raise TopicError(f"topic {', '.join(missing)} does not exist: create it")
        self._limits = {
            name: int(state.config.get("max.message.bytes", "1048588")) for name, state in states.items()
        }
        self._limits_until = time.monotonic() + _LIMITS_MAX_AGE_S

    @override
    def close(self) -> None:
        self._discard()


class _Grace:
    """How long a delivery goes on after the stop: a broker that answers acknowledges within milliseconds."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._until: float | None = None

    @property
    def over(self) -> bool:
        if not self._stop.is_set():
            return False
        now = time.monotonic()
        if self._until is None:
            self._until = now + _STOP_GRACE_S
        return now > self._until
