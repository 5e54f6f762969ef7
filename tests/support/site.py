"""One test's topics on a broker: make them, fill them, read them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

from services.edge_node.sources import first_life
from services.runtime.brokers import LocalBroker
from services.runtime.kafka import open_admin, open_consumer, open_producer
from services.runtime.log import LogRecord, Outgoing, Partition
from services.runtime.settings import ClusterSettings
from services.runtime.topics import Topics, TopicSpec, ensure_topics
from tests import brokers
from tests.support.processes import until

CHUNKS_PER_S = 10


class Site:
    """A broker seen from a test.

    Args:
        broker: runs.
        prefix: of all topics, so that no other test sees them.
    """

    def __init__(self, broker: LocalBroker, prefix: str) -> None:
        self.broker, self.topics = broker, Topics(prefix)
        self.servers = broker.bootstrap_servers
        self.cluster: ClusterSettings = brokers.cluster_of(broker)
        self._specs: dict[str, TopicSpec] = {}

    def create(self, *names: str, partitions: int) -> None:
        """Topics of records and of the site."""
        # Event times in the past are the messages' times too: the broker would delete the records as old.
        specs = {name: TopicSpec(name, partitions, {"retention.ms": "-1"}) for name in names}
        self._specs |= specs
        ensure_topics(self.cluster, (*specs.values(), *self.topics.records_specs()))

    def recreate(self, name: str) -> None:
        """Delete a topic and make it again as soon as it is gone."""
        with open_admin(self.cluster, client_id="test") as admin:
            admin.delete([name])
            until(lambda: name not in admin.names())
            admin.create([self._specs[name]])

    def names(self) -> list[str]:
        """Names of all topics of the broker."""
        with open_admin(self.cluster, client_id="test") as admin:
            return admin.names()

    def incarnation(self, topic: str) -> str:
        """What an edge node takes for the life of a topic that was never replaced."""
        consumer = open_consumer(self.cluster, client_id="test")
        try:
            return consumer.topic_id(topic) or first_life(topic)
        finally:
            consumer.close()

    def send(self, records: Sequence[Outgoing]) -> None:
        """Send and wait for the acknowledgements."""
        producer = open_producer(self.cluster, client_id="test", stop=threading.Event())
        try:
            producer.deliver(records)
        finally:
            producer.close()

    def read(self, topic: str) -> list[LogRecord]:
        """All records of a topic, in order within each partition."""
        consumer = open_consumer(self.cluster, client_id="test")
        try:
            positions = {p: consumer.beginning(p) for p in consumer.partitions(topic)}
            filled = {p: offset for p, offset in positions.items() if consumer.end(p) > offset}
            found: list[LogRecord] = []
            if filled:
                consumer.assign(filled)
            while any(consumer.lag(p) != 0 for p in filled):
                for records in consumer.poll(0.2).records.values():
                    found += records
            return found
        finally:
            consumer.close()

    def ends(self, topic: str) -> dict[Partition, int]:
        """Offset after the last record of each partition."""
        consumer = open_consumer(self.cluster, client_id="test")
        try:
            return {p: consumer.end(p) for p in consumer.partitions(topic)}
        finally:
            consumer.close()

    def committed(self, group: str, topic: str) -> dict[Partition, int]:
        """Offsets that a group has committed."""
        consumer = open_consumer(self.cluster, client_id="test", group_id=group)
        try:
            found = {p: consumer.committed(p) for p in consumer.partitions(topic)}
            return {p: committed.offset for p, committed in found.items() if committed is not None}
        finally:
            consumer.close()

    def has_committed(self, group: str, ends: dict[Partition, int]) -> bool:
        """Whether a group has committed at least these offsets."""
        topics = {p.topic for p in ends}
        done = {p: offset for topic in topics for p, offset in self.committed(group, topic).items()}
        return all(done.get(p, 0) >= end for p, end in ends.items())


class Feeder(threading.Thread):
    """Sends records at a rate until told to stop; outages of the broker only delay it.

    Args:
        site: where.
        records: what.
        per_s: records a second.
    """

    def __init__(self, site: Site, records: Iterable[Outgoing], per_s: int) -> None:
        super().__init__(name="feeder", daemon=True)
        self.sent: list[Outgoing] = []
        self._site, self._records, self._chunk = site, iter(records), max(1, per_s // CHUNKS_PER_S)
        self._enough = threading.Event()
        self._failures: deque[BaseException] = deque(maxlen=1)

    def run(self) -> None:
        producer = open_producer(self._site.cluster, client_id="feeder", stop=threading.Event())
        try:
            next_at = time.monotonic()
            while not self._enough.is_set() and (chunk := list(islice(self._records, self._chunk))):
                producer.deliver(chunk)
                self.sent += chunk
                next_at = max(next_at + 1 / CHUNKS_PER_S, time.monotonic() - 1)
                self._enough.wait(max(0.0, next_at - time.monotonic()))
        except BaseException as error:
            self._failures.append(error)
            raise
        finally:
            producer.close()

    def finish(self) -> list[Outgoing]:
        """Stop; returns all that was sent and acknowledged."""
        self._enough.set()
        self.join()
        assert not self._failures, self._failures
        return self.sent
