"""What the code relies on in kafka-python and Apache Kafka: facts that were measured once and must stay true."""

from __future__ import annotations

import multiprocessing
import threading
import time
import uuid
from collections.abc import Mapping

import crc32c
import pytest

from services.runtime.brokers import LocalBroker
from services.runtime.errors import BrokerError, MessageTooLargeError, StoppedError, TopicError
from services.runtime.kafka import consumer_options, open_admin, open_consumer, open_producer
from services.runtime.log import Committed, Consumer, LogRecord, Outgoing, Partition
from services.runtime.settings import ClusterSettings
from services.runtime.topics import Topics, TopicSpec, ensure_topics
from tests.backends import KafkaBackend, RdkafkaBackend
from tests.brokers import cluster_of

TIMEOUT_S = 40.0


@pytest.fixture
def cluster(kafka_broker: LocalBroker) -> ClusterSettings:
    return cluster_of(kafka_broker)


def make_topic(cluster: ClusterSettings, partitions: int = 1, **config: str) -> str:
    name = f"facts-{uuid.uuid4().hex[:12]}"
    settings = {key.replace("_", "."): value for key, value in config.items()}
    with open_admin(cluster, client_id="facts") as admin:
        admin.create([TopicSpec(name, partitions, settings)])
    return name


def read(consumer: Consumer, count: int) -> list[LogRecord]:
    records: list[LogRecord] = []
    deadline = time.monotonic() + TIMEOUT_S
    while len(records) < count:
        assert time.monotonic() < deadline, f"{len(records)} of {count} records after {TIMEOUT_S} s"
        for batch in consumer.poll(0.2).records.values():
            records += batch
    return records


def test_crc32c_is_the_compiled_one() -> None:
    # Without it kafka-python computes checksums in Python, and consuming is 6-11 times slower.
    assert crc32c.crc32c(b"123456789") == 0xE3069283
    from kafka.record import util

    assert util._crc32c is crc32c.crc32c


def test_every_client_comes_back_within_seconds_by_its_settings() -> None:
    options = consumer_options(ClusterSettings(bootstrap_servers="a:1,b:2"), "x", None)
    assert options["reconnect_backoff_max_ms"] == 1000
    assert options["auto_offset_reset"] == "none"
    assert options["enable_auto_commit"] is False
    assert options["allow_auto_create_topics"] is False
    assert options["bootstrap_servers"] == ["a:1", "b:2"]


def test_the_producer_goes_on_after_the_broker_refused_a_size(cluster: ClusterSettings) -> None:
    from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

    topic = make_topic(cluster)
    producer = open_producer(cluster, client_id="facts", stop=threading.Event())
    producer.deliver([Outgoing(topic, b"k", b"before")])
    # The limit shrinks behind our back, so that only the broker can refuse: fatal for an idempotent producer.
    admin = KafkaAdminClient(bootstrap_servers=cluster.servers)
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs={"max.message.bytes": "2000"})])
    admin.close()
    body = uuid.uuid4().bytes * 20_000  # lz4 must not bring it below the limit
    noise = b"".join(uuid.uuid5(uuid.NAMESPACE_URL, str(n)).bytes for n in range(2000))
    with pytest.raises(MessageTooLargeError, match=r"max\.message\.bytes"):
        producer.deliver([Outgoing(topic, b"k", noise)])
    with pytest.raises(MessageTooLargeError, match="2000 bytes"):
        producer.deliver([Outgoing(topic, b"k", body)])
    assert producer.deliver([Outgoing(topic, b"k", b"after")])[0].offset == 1
    producer.close()


def test_deliver_gives_up_only_when_it_is_told_to_stop() -> None:
    nobody = ClusterSettings(bootstrap_servers="127.0.0.1:9", request_timeout_s=1)
    stop = threading.Event()
    producer = open_producer(nobody, client_id="facts", stop=stop)
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(StoppedError):
        producer.deliver([Outgoing("t", b"k", b"v")])
    producer.close()


def test_no_broker_is_a_plain_error() -> None:
    nobody = ClusterSettings(bootstrap_servers="127.0.0.1:9", request_timeout_s=1)
    with pytest.raises(BrokerError, match=r"connecting failed at 127\.0\.0\.1:9.*bootstrap_servers"):
        open_consumer(nobody, client_id="facts")


def test_topics_are_created_and_verified(cluster: ClusterSettings, topic_prefix: str) -> None:
    topics = Topics(topic_prefix)
    specs = topics.records_specs() + topics.federation_specs(update_partitions=3)
    ensure_topics(cluster, specs, replication_factor=1)
    ensure_topics(cluster, specs, replication_factor=1)
    with open_admin(cluster, client_id="facts") as admin:
        found = admin.describe([topics.updates, topics.releases, topics.models])
        assert found[topics.updates].partitions == 3
        assert found[topics.updates].config["max.message.bytes"] == str(1 << 24)
        assert found[topics.releases].config["retention.ms"] == "-1"
        assert found[topics.models].config["cleanup.policy"] == "compact"
    wrong = TopicSpec(topics.updates, 1, {"cleanup.policy": "compact"}, 1 << 25)
    with pytest.raises(TopicError) as caught:
        ensure_topics(cluster, [wrong], replication_factor=1)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "has 3 partitions, needs 1" in lines[0]
    assert "kafka-configs.sh --alter" in lines[1]
    assert "up to 16777216 bytes, needs 33554432" in lines[2]
    with open_admin(cluster, client_id="facts") as admin:
        admin.delete([spec.name for spec in specs])


def test_records_deleted_by_retention_are_skipped_without_a_reset(cluster: ClusterSettings) -> None:
    from kafka import TopicPartition
    from kafka.admin import KafkaAdminClient

    topic = make_topic(cluster)
    producer = open_producer(cluster, client_id="facts", stop=threading.Event())
    producer.deliver([Outgoing(topic, b"k", str(n).encode()) for n in range(10)])
    admin = KafkaAdminClient(bootstrap_servers=cluster.servers)
    admin.delete_records({TopicPartition(topic, 0): 6})
    admin.close()
    consumer = open_consumer(cluster, client_id="facts")
    consumer.assign({Partition(topic, 0): 2})
    assert [record.offset for record in read(consumer, 4)] == [6, 7, 8, 9]
    consumer.close()
    producer.close()


def _member(servers: str, group: str, topic: str, ready: multiprocessing.synchronize.Event) -> None:
    cluster = ClusterSettings(bootstrap_servers=servers, session_timeout_s=6, heartbeat_s=1.5)
    consumer = open_consumer(cluster, client_id="member", group_id=group)

    def assigned(partitions: frozenset[Partition]) -> Mapping[Partition, int]:
        ready.set()
        return dict.fromkeys(partitions, 0)

    consumer.subscribe([topic], assigned, lambda _: None)
    while True:
        consumer.poll(0.2)


def test_the_group_goes_on_after_a_member_was_killed(cluster: ClusterSettings) -> None:
    topic, group = make_topic(cluster, partitions=2), f"facts-{uuid.uuid4().hex}"
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    member = context.Process(target=_member, args=(cluster.bootstrap_servers, group, topic, ready), daemon=True)
    member.start()
    assert ready.wait(TIMEOUT_S)
    owned: set[Partition] = set()
    consumer = open_consumer(cluster, client_id="facts", group_id=group)

    def assigned(partitions: frozenset[Partition]) -> Mapping[Partition, int]:
        owned.update(partitions)
        return dict.fromkeys(partitions, 0)

    consumer.subscribe([topic], assigned, owned.difference_update)
    deadline = time.monotonic() + TIMEOUT_S
    while len(owned) != 1 and time.monotonic() < deadline:
        consumer.poll(0.2)
    member.kill()
    member.join()
    while len(owned) != 2:
        assert time.monotonic() < deadline, f"owns {owned}"
        consumer.poll(0.2)
    consumer.close()


def test_every_client_comes_back_by_itself_after_the_broker_died(own_kafka: LocalBroker) -> None:
    cluster = cluster_of(own_kafka)
    topic = make_topic(cluster)
    partition = Partition(topic, 0)
    producer = open_producer(cluster, client_id="facts", stop=threading.Event())
    assigned = open_consumer(cluster, client_id="facts", group_id="assigned")
    assigned.assign({partition: 0})
    grouped = open_consumer(cluster, client_id="facts", group_id="grouped")
    grouped.subscribe([topic], lambda partitions: dict.fromkeys(partitions, 0), lambda _: None)
    producer.deliver([Outgoing(topic, b"k", b"before")])
    read(assigned, 1)
    read(grouped, 1)
    own_kafka.kill()
    assert not assigned.poll(0.3).records
    assert not assigned.commit({partition: Committed(1, "")})
    # The broker is started in this thread, since it dies with the thread that started it.
    delivery = threading.Thread(target=producer.deliver, args=([Outgoing(topic, b"k", b"during")],))
    delivery.start()
    own_kafka.start()
    up = time.monotonic()
    delivery.join(TIMEOUT_S)
    assert not delivery.is_alive()
    assert [record.value for record in read(assigned, 1)] == [b"during"]
    assert time.monotonic() - up < 10
    assert read(grouped, 1)[-1].value == b"during"
    assert assigned.commit({partition: Committed(2, "after")})
    for client in (assigned, grouped, producer):
        client.close()


@pytest.mark.parametrize("kind", [KafkaBackend, RdkafkaBackend], ids=["kafka-python", "librdkafka"])
def test_a_commit_while_a_topic_is_gone_is_refused_and_no_error(
    cluster: ClusterSettings, kind: type[KafkaBackend]
) -> None:
    """A topic is deleted and made again: between the two a node must not end."""
    backend, partition = kind(cluster), Partition(make_topic(cluster), 0)
    consumer = backend.consumer(f"group-{uuid.uuid4().hex}")
    consumer.assign({partition: 0})
    assert consumer.commit({partition: Committed(0, "")})
    with open_admin(cluster, client_id="facts") as admin:
        admin.delete([partition.topic])
    deadline = time.monotonic() + TIMEOUT_S
    while consumer.commit({partition: Committed(0, "")}):
        assert time.monotonic() < deadline
    backend.close()
