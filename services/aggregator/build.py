"""Puts an aggregator together from its settings and a log; what `main` and the tests share."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from services.aggregator.coordinator import Coordinator
from services.aggregator.fences import Fences
from services.aggregator.growth import Growth
from services.aggregator.intake import Intake, Keys, Limits
from services.aggregator.loop import Aggregator, count_partitions
from services.aggregator.messages import Messages
from services.aggregator.metrics import AggregatorMetrics
from services.aggregator.node_table import NodeTable
from services.aggregator.outbox import AggregatorOutbox
from services.aggregator.recovery import Recovery
from services.aggregator.settings import AggregatorSettings
from services.aggregator.store import Store, Stored
from services.runtime.database import Database
from services.runtime.envelope import Sealer
from services.runtime.errors import SettingsError, TopicError
from services.runtime.log import Consumer, Partition, Producer
from services.runtime.positions import ReadPosition, resume
from services.runtime.signing import SigningKey, VerifyKey, load_signing_key
from services.runtime.topics import Topics
from services.runtime.trust import EnrolledKeys

MIGRATIONS = Path(__file__).with_name("migrations")


def build_aggregator(
    settings: AggregatorSettings,
    database: Database,
    consumer: Consumer,
    producer: Producer,
    metrics: AggregatorMetrics,
    clock: Callable[[], float],
    partitions: Callable[[str], frozenset[Partition]] | None = None,
) -> Aggregator:
    """An aggregator that goes on where the database says.

    Args:
        settings: all of them.
        database: opened with `MIGRATIONS`.
        consumer: will be assigned the topics it reads.
        producer: of the same cluster.
        metrics: counts.
        clock: seconds since the epoch.
        partitions: asked for a topic's partitions while it runs; None: the consumer is.
    Raises:
        SettingsError: a key cannot be used.
        TopicError: a topic is missing.
        BrokerError: the broker did not answer.
    """
    topics = Topics(settings.topic_prefix)
    key = load_signing_key(settings.signing_key_file)
    store = Store(settings.federation)
    with database.read() as connection:
        stored = store.load(connection)
        metrics.released_at.set(store.last_release_at(connection) or 0.0)
    recovery = Recovery(settings.federation, topics, consumer, {settings.name: key.verify_key}, time.monotonic)
    state = recovery.checked(stored.state)
    with database.write() as connection:
        # Above what the log knows too: nodes ignore what comes from an earlier process than the last one heard.
        incarnation = store.begin_process(connection, max(int(clock() * 1000), recovery.incarnation + 1))
    positions = _positions(consumer, topics, stored)
    policy = settings.round_policy(*count_partitions(positions, topics))
    nodes = NodeTable(stored.nodes, settings.detector, settings.node_timeout_s)
    coordinator = Coordinator(settings, topics, store, nodes, metrics, state, policy)
    fences = Fences(stored.fences)
    limits = Limits(settings.merge_policy, settings.max_records_per_update, settings.max_message_bytes)
    intake = Intake(settings.federation, settings.name, _trusted(settings, key), limits)
    consumer.assign({partition: at.next_offset for partition, at in positions.items()})
    return Aggregator(
        topics=topics,
        consumer=consumer,
        positions=positions,
        database=database,
        store=store,
        messages=Messages(topics, intake, fences, nodes, coordinator),
        fences=fences,
        nodes=nodes,
        coordinator=coordinator,
        growth=Growth((topics.updates, topics.votes), partitions or consumer.partitions),
        outbox=AggregatorOutbox(database, store, producer, Sealer(settings.name, incarnation, key), metrics),
        metrics=metrics,
        clock=clock,
    )


def _positions(consumer: Consumer, topics: Topics, stored: Stored) -> dict[Partition, ReadPosition]:
    partitions: list[Partition] = []
    for topic in (topics.nodes, topics.updates, topics.votes):
        found = consumer.partitions(topic)
        if not found:
            raise TopicError(f"topic {topic} does not exist: `streamgauge doctor` says how to create it")
        partitions += sorted(found)
    return resume(consumer, partitions, stored.positions)


def _trusted(settings: AggregatorSettings, key: SigningKey) -> Keys:
    """The enrolled nodes' keys and the own one, under which marks are read again."""
    enrolled = EnrolledKeys(settings.nodes_keys_dir)

    def keys() -> Mapping[str, VerifyKey]:
        found = enrolled()
        if found is None:
            raise SettingsError("nodes_keys_dir is not set: enrol nodes with `streamgauge keys enrol`")
        return {**found, settings.name: key.verify_key}

    return keys
