"""From a record to an event of the round machine, or to a refusal with its reason."""

from __future__ import annotations

import sqlalchemy as sa

from schemas import ModelUpdate, RoundMark, Vote
from services.aggregator.coordinator import Coordinator
from services.aggregator.fences import Fences
from services.aggregator.intake import Arrays, Intake
from services.aggregator.node_table import NodeTable
from services.runtime.envelope import Opened
from services.runtime.errors import EnvelopeError
from services.runtime.log import LogRecord
from services.runtime.topics import Topics
from streamgauge.federation import round_events as ev
from streamgauge.federation.late import round_of
from streamgauge.federation.round_state import Position, Round

MAX_REASON = 300
"""A refusal's text is cut to this many characters: it is told to the node and logged."""


class Messages:
    """Hands what arrives to those whom it concerns.

    Args:
        topics: names.
        intake: checks.
        fences: against zombies.
        nodes: who is there.
        coordinator: the round machine.
    """

    def __init__(
        self, topics: Topics, intake: Intake, fences: Fences, nodes: NodeTable, coordinator: Coordinator
    ) -> None:
        self._topics = topics
        self._intake = intake
        self._fences = fences
        self._nodes = nodes
        self._coordinator = coordinator

    def handle(self, connection: sa.Connection, record: LogRecord, now: float) -> None:
        """Take in one record of `nodes`, `updates` or `votes`.

        Raises:
            EnvelopeError: it does not count; the reason is one of those of `services.aggregator.intake`.
        """
        opened = self._intake.open(record)
        position = Position(record.partition, record.offset)
        if record.topic == self._topics.nodes:
            if (status := self._intake.status(record, opened)) is not None:
                self._nodes.report(status, opened, now)
        elif opened.type == RoundMark.TYPE:
            if (mark := self._intake.mark(opened)) is not None:
                self._coordinator.handle(connection, ev.MarkArrived(mark.round, mark.phase), now, position)
        elif record.topic == self._topics.updates:
            self._update(connection, record, opened, now)
        else:
            self._vote(connection, record, opened, now)

    def _update(self, connection: sa.Connection, record: LogRecord, opened: Opened, now: float) -> None:
        current = self._coordinator.state.round
        number = current.number if current is not None else 0
        try:
            received = self._intake.contribution(ModelUpdate, record, opened)
            if received is None:
                return
            message, arrays = received
            number = message.round
            self._checked_update(connection, record, opened, message, arrays, now)
        except EnvelopeError as error:
            # Its signature is right: the node is told when the round closes.
            told = ev.UpdateRefused(number, opened.sender, str(error)[:MAX_REASON])
            self._coordinator.handle(connection, told, now)
            raise

    def _checked_update(
        self,
        connection: sa.Connection,
        record: LogRecord,
        opened: Opened,
        message: ModelUpdate,
        arrays: Arrays,
        now: float,
    ) -> None:
        # Of a round that is over, where late updates may count: what is to be believed of it is the same.
        made_for = round_of(self._coordinator.state, message.round) or self._current(message.round)
        self._fences.check(record.topic, opened, made_for.incarnations.get(message.node, 0))
        layout = self._coordinator.layout(connection, made_for.layout_hash)
        contribution = self._intake.update(message, arrays, made_for, layout)
        event = ev.UpdateArrived(message.round, message.node, message.records)
        position = Position(record.partition, record.offset)
        reason = self._coordinator.handle(connection, event, now, position, (contribution, message))
        if reason is not None:
            raise EnvelopeError(reason, f"update of {message.node} for round {message.round}")

    def _vote(self, connection: sa.Connection, record: LogRecord, opened: Opened, now: float) -> None:
        received = self._intake.contribution(Vote, record, opened)
        if received is None:
            return
        message, arrays = received
        current = self._current(message.round)
        self._fences.check(record.topic, opened, current.incarnations.get(message.node, 0))
        layout = self._coordinator.layout(connection, current.layout_hash)
        contribution = self._intake.vote(message, arrays, current, layout)
        event = ev.VoteArrived(message.round, message.node, message.candidate_sha256, message.approve)
        position = Position(record.partition, record.offset)
        reason = self._coordinator.handle(connection, event, now, position, (contribution, message))
        if reason is not None:
            raise EnvelopeError(reason, f"vote of {message.node} in round {message.round}")

    def _current(self, number: int) -> Round:
        current = self._coordinator.state.round
        if current is None or current.number != number:
            open_now = "no round is open" if current is None else f"round {current.number} is open"
            raise EnvelopeError("wrong-round", f"for round {number}, {open_now}")
        return current
