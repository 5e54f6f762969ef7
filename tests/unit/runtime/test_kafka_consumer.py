"""A log that is replaced while the broker is away: no reset is swallowed, nothing fetched is skipped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaConnectionError

from services.runtime import kafka_consumer
from services.runtime.kafka import broker_errors
from services.runtime.kafka_consumer import KafkaLogConsumer
from services.runtime.log import LogReset, Partition, Polled, ReadRecord
from services.runtime.settings import ClusterSettings

OLD, NEW = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"
PARTITIONS = [TopicPartition("records", 0), TopicPartition("records", 1)]


class FakeKafka:
    """kafka-python's consumer and admin as far as they are asked here."""

    def __init__(self) -> None:
        self.client_id = self.real_id = OLD
        self.positions = dict.fromkeys(PARTITIONS, 7)
        self.beginnings_left = 100
        self.admin_away = False

    @property
    def _cluster(self) -> FakeKafka:
        return self

    def topic_id(self, topic: str) -> str:
        return self.client_id

    def assign(self, partitions: list[TopicPartition]) -> None: ...

    def assignment(self) -> set[TopicPartition]:
        return set(PARTITIONS)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.positions[TopicPartition(*partition)] = offset

    def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        self.beginnings_left -= 1
        if self.beginnings_left < 0:
            raise KafkaConnectionError("away")
        return dict.fromkeys(partitions, 0)

    def poll(self, timeout_ms: int) -> dict[TopicPartition, list[ReadRecord]]:
        batches = {}
        for partition, offset in self.positions.items():
            batches[partition] = [ReadRecord(partition.topic, partition.partition, offset, 0, None, b"{}", ())]
            self.positions[partition] = offset + 1
        return batches

    def topic_ids(self, topics: Iterable[str]) -> dict[str, str | None]:
        return dict.fromkeys(topics, self.real_id)


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> FakeKafka:
    fake = FakeKafka()

    @contextmanager
    def open_admin(cluster: ClusterSettings, client_id: str) -> Iterator[FakeKafka]:
        with broker_errors(cluster, "connecting"):
            if fake.admin_away:
                raise KafkaConnectionError("away")
        yield fake

    def connect(*_: Any) -> FakeKafka:
        return fake

    monkeypatch.setattr(kafka_consumer, "open_admin", open_admin)
    monkeypatch.setattr(kafka_consumer, "connect", connect)
    return fake


@pytest.fixture
def consumer(kafka: FakeKafka) -> KafkaLogConsumer:
    made = KafkaLogConsumer(ClusterSettings(bootstrap_servers="localhost:1"), "test", None)
    made.assign({Partition(*partition): 7 for partition in PARTITIONS})
    return made


@pytest.mark.parametrize("answers", [0, 1])
def test_an_outage_while_a_replaced_log_is_looked_at_hides_no_reset(
    kafka: FakeKafka, consumer: KafkaLogConsumer, answers: int
) -> None:
    kafka.client_id = kafka.real_id = NEW
    kafka.beginnings_left = answers
    assert consumer.poll(0) == Polled()
    kafka.beginnings_left = 100
    assert consumer.poll(0).resets == tuple(LogReset(Partition("records", number), NEW) for number in (0, 1))
    assert set(kafka.positions.values()) == {0}
    assert consumer.poll(0).resets == ()


def test_what_was_fetched_before_a_question_failed_is_fetched_again(
    kafka: FakeKafka, consumer: KafkaLogConsumer
) -> None:
    kafka.client_id = NEW  # an answer that only the broker itself can confirm; it does not
    kafka.admin_away = True
    assert consumer.poll(0) == Polled()
    kafka.admin_away = False
    read = consumer.poll(0).records
    assert [record.offset for records in read.values() for record in records] == [7, 7]
