"""Does what the round machine asks for: merges, artefacts, messages; all inside the caller's transaction."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from numpy.typing import NDArray

from schemas import ModelArtefact, ModelUpdate, Vote
from services.aggregator.letters import Scribe, Stored, vote_means
from services.aggregator.metrics import AggregatorMetrics
from services.aggregator.node_table import NodeTable
from services.aggregator.settings import AggregatorSettings
from services.aggregator.store import Store
from services.runtime.codecs import layout_from, pack, sha256, unpack
from services.runtime.logging import get_logger
from services.runtime.tensorfile import dump_tensors, load_tensors
from services.runtime.topics import Topics
from streamgauge.errors import StateError, StreamgaugeError
from streamgauge.federation import round_events as ev
from streamgauge.federation.merging import Contribution, agree, make_candidate, merge_statistics
from streamgauge.federation.optimizers_base import Slots
from streamgauge.federation.round_state import Position, Round, RoundPolicy, State
from streamgauge.federation.rounds import advance
from streamgauge.layout import Layout

ENVELOPE_BYTES = 4096
"""More than key and headers of an artefact take: what goes into the outbox must be deliverable."""
Collected = tuple[Contribution, ModelUpdate | Vote]
_log = get_logger("aggregator.rounds")


class Coordinator:
    """The round machine and what it needs to work.

    Args:
        settings: of the aggregator.
        topics: names.
        store: rows of the federation.
        nodes: who is there.
        metrics: counts.
        state: as stored.
        policy: with the topics' real numbers of partitions.
    """

    def __init__(
        self,
        settings: AggregatorSettings,
        topics: Topics,
        store: Store,
        nodes: NodeTable,
        metrics: AggregatorMetrics,
        state: State,
        policy: RoundPolicy,
    ) -> None:
        self._settings = settings
        self._scribe = Scribe(settings, topics)
        self._store = store
        self._nodes = nodes
        self._metrics = metrics
        self._policy = policy
        self.state, _ = advance(state, ev.Restarted(), policy)
        self._collected: dict[str, Collected] = {}
        self._layout: tuple[str, Layout] | None = None
        self._weights: Stored | None = None
        self._statistics: Stored | None = None

    def use_partitions(self, updates: int, votes: int) -> None:
        """From the next round on, wait for the marks of so many partitions of `updates` and of `votes`."""
        self._policy = self._settings.round_policy(updates, votes)

    def would_act(self, tick: ev.Tick) -> bool:
        """Whether this tick changes anything, so that idle turns need no transaction."""
        state, actions = advance(self.state, tick, self._policy)
        return bool(actions) or state != self.state

    def handle(
        self,
        connection: sa.Connection,
        event: ev.Event,
        now: float,
        position: Position | None = None,
        content: Collected | None = None,
    ) -> str | None:
        """Advance the machine and do all it asks for.

        Args:
            connection: the transaction that everything goes into.
            event: what happened.
            now: seconds of the own clock.
            position: of an update, vote or mark.
            content: of an update or vote, kept if the machine says so.
        Returns:
            the machine's reason if it refused the update or vote.
        """
        refused = None
        pending: list[tuple[ev.Event, Position | None]] = [(event, position)]
        while pending:
            self.state, actions = advance(self.state, pending[0][0], self._policy, pending[0][1])
            answers: list[tuple[ev.Event, Position | None]] = []
            for action in actions:
                if isinstance(action, ev.Refuse):
                    refused = action.reason
                elif isinstance(action, ev.Keep) and content is not None:
                    self._collected[action.node] = content
                elif isinstance(action, ev.KeepLate) and content is not None:
                    self._keep_late(connection, *content)
                elif (answer := self._obey(connection, action, now)) is not None:
                    answers.append((answer, None))
            pending = answers + pending[1:]
        return refused

    def layout(self, connection: sa.Connection, layout_hash: str) -> Layout:
        """The layout of this hash.

        Raises:
            StateError: no node ever showed it.
        """
        if self._layout is None or self._layout[0] != layout_hash:
            items = self._store.layout(connection, layout_hash)
            if items is None:
                raise StateError(f"layout {layout_hash} is not known")
            self._layout = (layout_hash, layout_from(items))
        return self._layout[1]

    def _obey(self, connection: sa.Connection, action: ev.Action, now: float) -> ev.Event | None:
        match action:
            case ev.Open():
                self._open(connection, action.round, now)
            case ev.SendMarks():
                partitions = self._policy.update_partitions
                if action.phase == "votes":
                    partitions = self._policy.vote_partitions
                self._store.letters.post(connection, self._scribe.marks(action.round, action.phase, partitions))
            case ev.Merge():
                return self._merge(connection, action, now)
            case ev.Announce():
                self._announce(connection, action.round)
            case ev.Settle():
                return self._settle(connection, action.round)
            case ev.Publish():
                self._publish(connection, action, now)
            case ev.Close():
                self._close(connection, action, now)
            case ev.ForgetOptimizer():
                self._store.forget_optimizer(connection)
            case ev.Alarm():
                _log.warning("alarm", reason=action.reason)
                self._metrics.alarms.inc()
        return None

    def _open(self, connection: sa.Connection, current: Round, now: float) -> None:
        self._collected.clear()
        status = self._nodes.layout_status(current.layout_hash)
        if status is not None:
            self._store.save_layout(connection, current.layout_hash, status.layout)
        base = None
        if current.kind == "training":
            base = self._store.release_weights(connection, current.base_release_seq)
        self._store.letters.post(connection, [self._scribe.plan(current, base, now)])
        _log.info("round opened", round=current.number, kind=current.kind, participants=sorted(current.sites))

    def _keep_late(self, connection: sa.Connection, update: Contribution, message: ModelUpdate | Vote) -> None:
        """The log is read past it before it counts: the database keeps it."""
        self._store.save_late(connection, update.node, pack(message, update.arrays))
        self._metrics.late.inc()
        _log.info("late update", node=update.node, round=message.round)

    def _late(self, connection: sa.Connection, node: str, staleness: int) -> Contribution:
        """A kept update, whose base is so many releases behind the round's."""
        data = self._store.late(connection, node)
        if data is None:
            raise StateError(f"the late update of {node} is not in the database")
        message, arrays = unpack(ModelUpdate, data, len(data))
        return Contribution(node, message.site, message.records, arrays, staleness)

    def _merge(self, connection: sa.Connection, merge: ev.Merge, now: float) -> ev.Merged:
        started, current = time.perf_counter(), merge.round
        contributions = [self._collected[node][0] for node in sorted(current.accepted)]
        try:
            for node, late in merge.stale.items():
                staleness = current.base_release_seq - late.base_release_seq
                contributions.append(self._late(connection, node, staleness))
            arrays, slots = self._merged(connection, current, contributions)
            self._weights = self._keep(connection, current, "weights", arrays)
            if slots:
                data = dump_tensors({"optimizer": self._settings.optimizer}, slots)
                self._store.save_optimizer(connection, self._weights.sha256, data)
        except StreamgaugeError as error:
            _log.warning("updates cannot be merged", round=current.number, why=str(error))
            return ev.Merged(now, None, str(error))
        self._metrics.merge_seconds.observe(time.perf_counter() - started)
        return ev.Merged(now, self._weights.sha256)

    def _merged(
        self, connection: sa.Connection, current: Round, contributions: list[Contribution]
    ) -> tuple[Mapping[str, NDArray[Any]], Slots]:
        layout = self.layout(connection, current.layout_hash)
        policy = self._settings.merge_policy
        if current.kind == "agreement":
            return agree(layout, contributions, self._settings.seed, policy), {}
        name = self._store.release_weights(connection, current.base_release_seq)
        data = self._store.artefact(connection, name) if name is not None else None
        if data is None or name is None:
            raise StateError(f"the weights of release {current.base_release_seq} are not in the database")
        _, base = unpack(ModelArtefact, data, len(data))
        slots = self._slots(connection, name)
        return make_candidate(layout, base, contributions, self.state.step, policy, slots)

    def _slots(self, connection: sa.Connection, weights: str) -> Slots:
        """The optimiser's state as of these weights; empty if it begins, or if another one was set since."""
        data = self._store.optimizer(connection, weights)
        if data is None:
            return {}
        values, slots = load_tensors(data)
        return slots if values["optimizer"] == self._settings.optimizer else {}

    def _keep(
        self, connection: sa.Connection, current: Round, content: str, arrays: Mapping[str, NDArray[Any]]
    ) -> Stored:
        data = pack(self._scribe.header(current, content), arrays)
        limit = self._settings.max_message_bytes - ENVELOPE_BYTES
        if len(data) > limit:
            raise StateError(
                f"{content} of {len(data)} bytes are over the {limit} that max_message_bytes="
                f"{self._settings.max_message_bytes} leaves; choose a smaller network in detector_config"
            )
        stored = Stored(sha256(data), len(data))
        self._store.add_artefact(connection, stored.sha256, data)
        self._store.letters.post(connection, [self._scribe.artefact(stored.sha256)])
        return stored

    def _announce(self, connection: sa.Connection, current: Round) -> None:
        self._collected.clear()
        self._store.letters.post(
            connection, [self._scribe.candidate(current, self._weights_of(connection, current))]
        )
        _log.info(
            "candidate", round=current.number, accepted=dict(current.accepted), refused=dict(current.refused)
        )

    def _weights_of(self, connection: sa.Connection, current: Round) -> Stored:
        """The candidate's artefact; after a restart it is known by its name only."""
        if self._weights is None or self._weights.sha256 != current.candidate:
            data = self._store.artefact(connection, current.candidate or "")
            if data is None or current.candidate is None:
                raise StateError(f"the candidate of round {current.number} is not in the database")
            self._weights = Stored(current.candidate, len(data))
        return self._weights

    def _settle(self, connection: sa.Connection, current: Round) -> ev.Settled:
        self._statistics = None
        layout = self.layout(connection, current.layout_hash)
        if not layout.of_phase("under_candidate"):
            return ev.Settled()
        contributions = [self._collected[node][0] for node in sorted(current.votes)]
        try:
            arrays = merge_statistics(layout, contributions, self._settings.merge_policy)
            self._statistics = self._keep(connection, current, "statistics", arrays)
        except StreamgaugeError as error:
            return ev.Settled(str(error))
        return ev.Settled()

    def _publish(self, connection: sa.Connection, publish: ev.Publish, now: float) -> None:
        weights = self._weights_of(connection, publish.round)
        statistics = self._statistics if publish.round.kind == "training" else None
        votes = [message for _, message in self._collected.values() if isinstance(message, Vote)]
        letter = self._scribe.release(publish, weights, statistics, vote_means(votes), now)
        name = statistics.sha256 if statistics else None
        self._store.add_release(connection, publish.release_seq, weights.sha256, name, now)
        self._store.letters.post(connection, [letter])
        self._metrics.released_at.set(now)
        _log.info("released", release_seq=publish.release_seq, lineage=publish.lineage, round=publish.round.number)

    def _close(self, connection: sa.Connection, close: ev.Close, now: float) -> None:
        self._store.letters.post(connection, [self._scribe.closed(close, now)])
        gone = self._store.prune(connection, self._settings.keep_models, None)
        self._store.letters.post(connection, [self._scribe.tombstone(sha) for sha in gone])
        self._store.keep_late(connection, self.state.late)
        self._collected.clear()
        self._weights = self._statistics = None
        self._metrics.rounds.labels(close.round.kind, close.outcome).inc()
        _log.info("round closed", round=close.round.number, outcome=close.outcome, reason=close.reason)
