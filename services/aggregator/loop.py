"""The aggregator's one loop: poll, check, decide, store, send.

Read positions, the machine's state and the messages to send change in one transaction. While a phase collects
updates (votes), the position of `updates` (`votes`) stays where the phase began: the log itself is the store of a
running round, a new process reads it again and collects the same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import sqlalchemy as sa

from services.aggregator.coordinator import Coordinator
from services.aggregator.fences import Fences
from services.aggregator.growth import Growth
from services.aggregator.messages import MAX_REASON, Messages
from services.aggregator.metrics import AggregatorMetrics
from services.aggregator.node_table import NodeTable
from services.aggregator.outbox import AggregatorOutbox
from services.aggregator.store import Store
from services.runtime.database import Database
from services.runtime.errors import BrokerError, EnvelopeError, TopicError
from services.runtime.log import Consumer, LogRecord, Partition, Polled
from services.runtime.logging import Paced, get_logger
from services.runtime.positions import ReadPosition, after_reset, resume
from services.runtime.topics import Topics
from streamgauge.federation import round_events as ev

POLL_S = 0.2
_log = get_logger("aggregator.loop")


def count_partitions(partitions: Iterable[Partition], topics: Topics) -> tuple[int, int]:
    """How many there are of `updates` and of `votes`."""
    found = [partition.topic for partition in partitions]
    return found.count(topics.updates), found.count(topics.votes)


class Aggregator:
    """One federation's aggregator; made by `services.aggregator.build.build_aggregator`.

    `ready` is true once the first turn is done.

    Args:
        topics: names.
        consumer: reads `nodes`, `updates` and `votes` from `positions`.
        positions: where it starts.
        database: where everything is kept.
        store: the federation's rows.
        messages: checks what arrives and hands it on.
        fences: against zombies; saved with the positions.
        nodes: who is there.
        coordinator: the round machine.
        growth: notices new partitions.
        outbox: what is to be sent.
        metrics: counts.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        *,
        topics: Topics,
        consumer: Consumer,
        positions: dict[Partition, ReadPosition],
        database: Database,
        store: Store,
        messages: Messages,
        fences: Fences,
        nodes: NodeTable,
        coordinator: Coordinator,
        growth: Growth,
        outbox: AggregatorOutbox,
        metrics: AggregatorMetrics,
        clock: Callable[[], float],
    ) -> None:
        self._topics = topics
        self._consumer = consumer
        self._positions = positions
        self._moved: set[Partition] = set(positions)
        self._database = database
        self._store = store
        self._messages = messages
        self._fences = fences
        self._nodes = nodes
        self._coordinator = coordinator
        self._growth = growth
        self._outbox = outbox
        self._metrics = metrics
        self._clock = clock
        self._refusals = Paced()
        self.ready = False

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set.

        Raises:
            StoppedError: stopped while a message could not be sent; the next process sends it.
        """
        try:
            self.send_pending()
            while not stop.is_set():
                self.step(POLL_S)
        finally:
            self._consumer.close()

    def send_pending(self) -> None:
        """Send what the process before decided on and could not send."""
        self._outbox.flush()

    def step(self, timeout_s: float) -> int:
        """One turn. Returns the number of records read."""
        self._read_new_partitions()
        polled = self._consumer.poll(timeout_s)
        now = self._clock()
        count = sum(len(records) for records in polled.records.values())
        tick = ev.Tick(now, self._nodes.views(now))
        if count or polled.resets or not self.ready or self._coordinator.would_act(tick):
            with self._database.write() as connection:
                self._turn(connection, polled, now)
            self._outbox.flush()
        self.ready = True
        self._show(now)
        return count

    def _read_new_partitions(self) -> None:
        new = self._growth.look(self._positions.keys(), self._clock())
        if not new or self._coordinator.state.round is not None:
            return  # marks of an open round were counted for the partitions that there were
        try:
            found = resume(self._consumer, new, {})
            wanted = self._positions | found
            self._consumer.assign({partition: at.next_offset for partition, at in wanted.items()})
        except (BrokerError, TopicError) as error:
            _log.warning("new partitions cannot be read yet", why=str(error))
            return
        self._positions = wanted
        self._moved |= found.keys()
        self._coordinator.use_partitions(*count_partitions(self._positions, self._topics))
        _log.info("reading new partitions", partitions=[str(partition) for partition in new])

    def _turn(self, connection: sa.Connection, polled: Polled, now: float) -> None:
        before, phase = self._coordinator.state, self._phase()
        for reset in polled.resets:
            self._metrics.resets.labels(reset.partition.topic).inc()
            _log.warning("log was replaced", partition=str(reset.partition))
            self._move(reset.partition, 0, after_reset(reset))
        for partition, records in polled.records.items():
            for record in records:
                self._record(connection, record, now)
            self._move(partition, records[-1].offset + 1, self._positions[partition].incarnation)
        if self._coordinator.state.round is not None or not self._growth.found(self._positions):
            self._coordinator.handle(connection, ev.Tick(now, self._nodes.views(now)), now)
        if self._coordinator.state != before:
            self._store.save_state(connection, self._coordinator.state)
        self._store.save_nodes(connection, self._nodes.take_changed())
        self._save_positions(connection, phase)

    def _phase(self) -> tuple[int, str] | None:
        current = self._coordinator.state.round
        return (current.number, current.phase) if current else None

    def _move(self, partition: Partition, offset: int, incarnation: str) -> None:
        self._positions[partition] = ReadPosition(offset, incarnation)
        self._moved.add(partition)

    def _save_positions(self, connection: sa.Connection, before: tuple[int, str] | None) -> None:
        now = self._phase()
        pinned = None
        if now is not None and now == before:
            pinned = {"updates": self._topics.updates, "votes": self._topics.votes}.get(now[1])
        free = {partition for partition in self._moved if partition.topic != pinned}
        if not free:
            return
        topics = frozenset({self._topics.nodes, self._topics.updates, self._topics.votes} - {pinned})
        positions = {partition: self._positions[partition] for partition in free}
        self._store.save_positions(connection, positions, self._fences.take_changed(topics))
        self._moved -= free

    def _record(self, connection: sa.Connection, record: LogRecord, now: float) -> None:
        self._metrics.messages.labels(record.topic).inc()
        if record.value is None:
            return  # a tombstone says nothing to the aggregator
        try:
            self._messages.handle(connection, record, now)
        except EnvelopeError as error:
            self._count_refusal(record, error)

    def _count_refusal(self, record: LogRecord, error: EnvelopeError) -> None:
        self._metrics.refused.labels(record.topic, error.reason).inc()
        if times := self._refusals.happened(f"{record.topic} {error.reason}"):
            at = f"{record.topic}:{record.partition}@{record.offset}"
            _log.info("refused", at=at, reason=error.reason, why=error.detail[:MAX_REASON], times=times)

    def _show(self, now: float) -> None:
        state, metrics = self._coordinator.state, self._metrics
        metrics.round_open.set(state.round is not None)
        metrics.round_age.set(max(0.0, now - state.round.opened_at) if state.round else 0.0)
        metrics.release_seq.set(state.release_seq)
        metrics.lineage.set(state.lineage)
        metrics.step.set(state.step)
        for name, count in self._nodes.counts(now).items():
            metrics.nodes.labels(name).set(count)
        behind: dict[str, int] = {}
        for partition in self._positions:
            behind[partition.topic] = behind.get(partition.topic, 0) + (self._consumer.lag(partition) or 0)
        for topic, records in behind.items():
            metrics.lag.labels(topic).set(records)
