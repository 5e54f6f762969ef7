"""A producer on librdkafka, for whoever sends very many messages: it sends while the next ones are made.

A message costs it 2 us of the interpreter where kafka-python takes 21. It needs the extra `librdkafka`. Messages
keep their order in each partition (an idempotent producer), and none is given up: an outage is waited for until
the stop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException, Producer

from services.runtime.errors import BrokerError, MessageTooLargeError, StoppedError
from services.runtime.rdkafka import Compression, client_options
from services.runtime.settings import ClusterSettings

_QUEUE_MESSAGES = 200_000
_QUEUE_KIB = 128 * 1024
_SLICE_S = 0.2
_STOP_GRACE_S = 5.0


class RdKafkaProducer:
    """Hands messages to librdkafka and waits for them when asked.

    Args:
        cluster: where.
        client_id: name in the broker's logs and quotas.
        stop: ends the waiting, a few seconds after it was set.
        compression: of batches.
    """

    def __init__(
        self, cluster: ClusterSettings, client_id: str, stop: threading.Event, compression: Compression = "lz4"
    ) -> None:
        self._stop, self._servers = stop, cluster.bootstrap_servers
        self._failures: list[KafkaError] = []
        self._producer = Producer(
            client_options(cluster, client_id)
            | {
                "acks": "all",
                "enable.idempotence": True,
                "compression.type": compression,
                "linger.ms": 5,
                "batch.size": 512 * 1024,
                "message.max.bytes": 32 << 20,
                "message.timeout.ms": 0,  # nothing is given up
                "queue.buffering.max.messages": _QUEUE_MESSAGES,
                "queue.buffering.max.kbytes": _QUEUE_KIB,
                "delivery.report.only.error": True,
                "on_delivery": self._answered,
            }
        )

    def _answered(self, error: KafkaError | None, _: object) -> None:
        if error is not None:
            self._failures.append(error)

    def hand_over(
        self,
        topics: Sequence[str],
        keys: Sequence[bytes],
        values: Sequence[bytes],
        headers: Sequence[tuple[tuple[str, bytes], ...]],
        partitions: Sequence[int],
        stamps_ms: Sequence[int],
    ) -> None:
        """Hand over messages, element i of every list being of message i; waits while the queue is full.

        Raises:
            BrokerError: the broker refused an earlier one for good.
            MessageTooLargeError: one is over the client's or the topic's limit.
            StoppedError: stopped while the queue was full.
        """
        produce, given_up_at = self._producer.produce, None
        lists = (topics, values, keys, partitions, stamps_ms, headers)
        for topic, value, key, partition, stamp, header in zip(*lists, strict=True):
            while True:
                try:
                    produce(topic, value, key, partition, timestamp=stamp, headers=list(header) or None)
                    break
                except BufferError:
                    given_up_at = self._wait(given_up_at)
                except KafkaException as error:
                    raise self._explained(error.args[0]) from error
        self._producer.poll(0)
        self._check()

    def flush(self) -> None:
        """Wait until everything is acknowledged.

        Raises:
            BrokerError, MessageTooLargeError: the broker refused a message for good.
            StoppedError: stopped, and not all was acknowledged a few seconds later.
        """
        given_up_at = None
        while len(self._producer):
            # A slice at a time, so that failures and the stop are seen.
            self._producer.flush(_SLICE_S)
            if len(self._producer):
                given_up_at = self._wait(given_up_at)
        self._check()

    def _wait(self, given_up_at: float | None) -> float | None:
        self._producer.poll(0.02)
        self._check()
        if not self._stop.is_set():
            return None
        now = time.monotonic()
        if given_up_at is None:
            return now + _STOP_GRACE_S
        if now > given_up_at:
            raise StoppedError(f"stopped with {len(self._producer)} messages not acknowledged")
        return given_up_at

    def _check(self) -> None:
        if self._failures:
            raise self._explained(self._failures[0])

    def _explained(self, error: KafkaError) -> BrokerError | MessageTooLargeError:
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            return MessageTooLargeError(
                f"a message is over its topic's limit ({error.str()}): raise the topic's max.message.bytes"
            )
        return BrokerError(
            f"sending failed at {self._servers}: {error.name()}: {error.str()}; check that the topic is there"
        )

    def close(self) -> None:
        """Drop what is not acknowledged and free the sockets."""
        self._producer.purge()
        self._producer.close()
