"""The seam to the log on each kind of broker, for the contract suite."""

from __future__ import annotations

import threading
import uuid
from typing import Protocol

from services.runtime.kafka import open_admin, open_consumer, open_producer
from services.runtime.log import Consumer, Producer
from services.runtime.memory import MemoryBroker
from services.runtime.rdkafka_consumer import RdkafkaLogConsumer
from services.runtime.settings import ClusterSettings
from services.runtime.topics import DEFAULT_MESSAGE_BYTES, TopicSpec


class LogBackend(Protocol):
    """What the contract suite needs of a broker."""

    kind: str

    def create_topic(self, partitions: int = 1, max_message_bytes: int = DEFAULT_MESSAGE_BYTES) -> str:
        """Make a topic of a new name."""

    def recreate_topic(self, name: str, partitions: int = 1) -> None:
        """Delete a topic and make it again."""

    def consumer(self, group_id: str | None = None) -> Consumer: ...

    def producer(self, stop: threading.Event | None = None) -> Producer: ...

    def close(self) -> None: ...


class MemoryBackend:
    kind = "memory"

    def __init__(self) -> None:
        self.broker = MemoryBroker()

    def create_topic(self, partitions: int = 1, max_message_bytes: int = DEFAULT_MESSAGE_BYTES) -> str:
        name = f"contract-{uuid.uuid4().hex[:12]}"
        self.broker.create_topic(name, partitions, max_message_bytes)
        return name

    def recreate_topic(self, name: str, partitions: int = 1) -> None:
        self.broker.delete_topic(name)
        self.broker.create_topic(name, partitions)

    def consumer(self, group_id: str | None = None) -> Consumer:
        return self.broker.consumer(group_id)

    def producer(self, stop: threading.Event | None = None) -> Producer:
        return self.broker.producer(stop)

    def close(self) -> None:
        pass


class KafkaBackend:
    kind = "kafka"
    broker = "kafka"

    def __init__(self, cluster: ClusterSettings) -> None:
        self.cluster = cluster
        self._open: list[Consumer | Producer] = []
        self._topics: list[str] = []

    def create_topic(self, partitions: int = 1, max_message_bytes: int = DEFAULT_MESSAGE_BYTES) -> str:
        name = f"contract-{uuid.uuid4().hex[:12]}"
        self._create(name, partitions, max_message_bytes)
        self._topics.append(name)
        return name

    def _create(self, name: str, partitions: int, max_message_bytes: int) -> None:
        config = {"max.message.bytes": str(max_message_bytes)}
        with open_admin(self.cluster, client_id="contract") as admin:
            admin.create([TopicSpec(name, partitions, config)])

    def recreate_topic(self, name: str, partitions: int = 1) -> None:
        with open_admin(self.cluster, client_id="contract") as admin:
            admin.delete([name])
        self._create(name, partitions, DEFAULT_MESSAGE_BYTES)

    def consumer(self, group_id: str | None = None) -> Consumer:
        consumer = open_consumer(self.cluster, client_id="contract", group_id=group_id)
        self._open.append(consumer)
        return consumer

    def producer(self, stop: threading.Event | None = None) -> Producer:
        producer = open_producer(self.cluster, client_id="contract", stop=stop or threading.Event())
        self._open.append(producer)
        return producer

    def close(self) -> None:
        for client in self._open:
            client.close()
        with open_admin(self.cluster, client_id="contract") as admin:
            admin.delete(self._topics)


class EmbeddedBackend(KafkaBackend):
    kind = broker = "embedded"


class RdkafkaBackend(KafkaBackend):
    """Apache Kafka, read with librdkafka."""

    kind = "librdkafka"

    def consumer(self, group_id: str | None = None) -> Consumer:
        consumer = RdkafkaLogConsumer(self.cluster, "contract", group_id or f"group-{uuid.uuid4().hex}")
        self._open.append(consumer)
        return consumer


KAFKA_BACKENDS = {kind.kind: kind for kind in (KafkaBackend, EmbeddedBackend, RdkafkaBackend)}
