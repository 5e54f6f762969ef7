"""The seam to the log: what a service needs of a Kafka client, and nothing more.

`services.runtime.kafka` implements it with kafka-python and, for the consumer of records, librdkafka;
`services.runtime.memory` in process for tests. One contract suite (`tests/contract/test_log.py`) runs over all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

TRUTH_HEADER = "sg_truth"
"""Header with the truth of a labelled record, as replay and plant send it; no detector reads it."""


class Partition(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}"


class LogRecord(Protocol):
    """A record as read; kafka-python's own record class fits, so nothing is copied."""

    @property
    def topic(self) -> str:
        """Name of the topic."""

    @property
    def partition(self) -> int:
        """Number of the partition."""

    @property
    def offset(self) -> int:
        """Position in the partition."""

    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch."""

    @property
    def key(self) -> bytes | None:
        """As sent."""

    @property
    def value(self) -> bytes | None:
        """As sent; None marks a deletion."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """Names and values, in the order in which they were sent; a name may come twice."""


class ReadRecord(NamedTuple):
    """A `LogRecord` of clients that have no class of their own for it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to send. Key and value must not both be None: kafka-python cannot send that."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None
    timestamp_ms: int | None = None

    @property
    def size_bytes(self) -> int:
        """Upper estimate of the size that the broker compares with the topic's limit."""
        body = len(self.key or b"") + len(self.value or b"")
        return body + sum(len(name.encode()) + len(value) + 10 for name, value in self.headers) + 100


class Sent(NamedTuple):
    """Where a record that was acknowledged lies."""

    partition: Partition
    offset: int


class Committed(NamedTuple):
    """A committed offset and the text committed beside it."""

    offset: int
    metadata: str


class LogReset(NamedTuple):
    """A topic was deleted and made again (or an in-memory broker restarted): offsets before it mean nothing."""

    partition: Partition
    topic_id: str | None


@dataclass(frozen=True, slots=True)
class Polled:
    """Result of one poll.

    Attributes:
        records: new records by partition, in order of offset, never empty lists.
        resets: partitions whose log was replaced; the consumer already stands at the new log's beginning.
            A poll with resets carries no records.
    """

    records: Mapping[Partition, Sequence[LogRecord]] = field(default_factory=dict)
    resets: tuple[LogReset, ...] = ()


class Consumer(Protocol):
    """Reads partitions; positions are the caller's business (no automatic commit, no automatic reset)."""

    def assign(self, positions: Mapping[Partition, int]) -> None:
        """Read exactly these partitions from these offsets (assigned mode)."""

    def subscribe(
        self,
        topics: Iterable[str],
        on_assigned: Callable[[frozenset[Partition]], Mapping[Partition, int]],
        on_revoked: Callable[[frozenset[Partition]], None],
    ) -> None:
        """Share the topics with the other members of the group (group mode).

        `on_assigned` returns the offsets to start at; it and `on_revoked` run inside `poll`, or inside `commit`.
        """

    def poll(self, timeout_s: float) -> Polled:
        """Wait up to `timeout_s` for records. Survives broker outages: returns nothing meanwhile."""

    def seek(self, partition: Partition, offset: int) -> None:
        """Read on from `offset`."""

    def partitions(self, topic: str) -> frozenset[Partition]:
        """All partitions of a topic; empty if it does not exist."""

    def topics(self) -> frozenset[str]:
        """Names of all topics that there are."""

    def beginning(self, partition: Partition) -> int:
        """First offset kept."""

    def end(self, partition: Partition) -> int:
        """Offset after the last record."""

    def offset_at(self, partition: Partition, timestamp_ms: int) -> int:
        """First offset with a timestamp at or after `timestamp_ms`; the end if there is none."""

    def lag(self, partition: Partition) -> int | None:
        """Records behind the high-water mark as of the last fetch; None before the first."""

    def topic_id(self, topic: str) -> str | None:
        """Kafka's topic id; None where the broker has none (then the caller keeps an incarnation of its own)."""

    def commit(self, offsets: Mapping[Partition, Committed]) -> bool:
        """Commit; False if a rebalance took the partitions away or the broker is gone: it will be read again."""

    def committed(self, partition: Partition) -> Committed | None:
        """What was committed last, None if nothing."""

    @property
    def generation(self) -> int:
        """Rises with every assignment, -1 in assigned mode: the group's generation where the client knows it."""

    def close(self) -> None:
        """Leave the group without committing, free the sockets."""


class Producer(Protocol):
    """Sends records and knows that they arrived."""

    def prepare(self, topics: Iterable[str]) -> None:
        """Connect and learn what must be known of topics, or the first delivery would do so (a fifth of a second).

        Raises:
            TopicError: a topic does not exist.
            StoppedError: the service is stopping.
        """

    def deliver(self, records: Sequence[Outgoing]) -> list[Sent]:
        """Send and wait until each one is acknowledged by all replicas, in order per partition.

        Retriable failures are repeated with the same bytes until `stop` is set; a fatal producer is replaced
        and all that was not acknowledged is sent again.

        Raises:
            MessageTooLargeError: a record is over its topic's limit; nothing of the call was sent.
            StoppedError: the service is stopping and not all records were acknowledged.
        """

    def close(self) -> None:
        """Free the sockets."""
