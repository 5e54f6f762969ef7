"""What the aggregator keeps in its database; everything here runs inside a transaction of the caller's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from schemas import LayoutItem, NodeStatus
from services.aggregator.fences import FenceKey
from services.aggregator.node_table import NodeEntry
from services.aggregator.tables import (
    ARTEFACTS,
    CONSUMED,
    FENCES,
    LATE_UPDATES,
    LAYOUTS,
    MACHINE,
    NODES,
    OPTIMIZER_STATES,
    OUTBOX,
    RELEASES,
)
from services.runtime.database import dialect_insert, load_offsets, save_offsets
from services.runtime.log import Partition
from services.runtime.outbox import Letters
from services.runtime.positions import ReadPosition
from streamgauge.federation.round_state import State


@dataclass(frozen=True)
class Stored:
    """What a new process finds."""

    state: State
    nodes: Mapping[str, NodeEntry]
    fences: Mapping[FenceKey, int]
    positions: Mapping[Partition, ReadPosition]


class Store:
    """The rows of one federation.

    Args:
        federation: all rows carry its name, so that several aggregators can share a database.
    """

    def __init__(self, federation: str) -> None:
        self._federation = federation
        self.letters = Letters(OUTBOX, OUTBOX.c.federation, federation)
        """What is to be sent."""

    def begin_process(self, connection: sa.Connection, now_ms: int) -> int:
        """Number this process: its start in ms, but above every earlier one, even if the clock was set back."""
        known = connection.scalar(sa.select(MACHINE.c.incarnation).where(self._mine(MACHINE)))
        if known is None:
            state = json.dumps(State().to_json())
            row = {"federation": self._federation, "incarnation": now_ms, "state": state}
            connection.execute(sa.insert(MACHINE), row)
            return now_ms
        incarnation = max(now_ms, int(known) + 1)
        connection.execute(sa.update(MACHINE).where(self._mine(MACHINE)).values(incarnation=incarnation))
        return incarnation

    def load(self, connection: sa.Connection) -> Stored:
        """Everything but artefacts and the outbox."""
        text = connection.scalar(sa.select(MACHINE.c.state).where(self._mine(MACHINE)))
        nodes = {
            row.node: NodeEntry(NodeStatus.read(row.body), row.sequence, row.seen_at)
            for row in connection.execute(sa.select(NODES).where(self._mine(NODES)))
        }
        fences = {
            (row.topic, row.node): row.incarnation
            for row in connection.execute(sa.select(FENCES).where(self._mine(FENCES)))
        }
        state = State.from_json(json.loads(text)) if text is not None else State()
        return Stored(state, nodes, fences, load_offsets(connection, CONSUMED, self._federation))

    def save_state(self, connection: sa.Connection, state: State) -> None:
        """Replace the round machine's state."""
        text = json.dumps(state.to_json())
        connection.execute(sa.update(MACHINE).where(self._mine(MACHINE)).values(state=text))

    def save_positions(
        self,
        connection: sa.Connection,
        positions: Mapping[Partition, ReadPosition],
        fences: Mapping[FenceKey, int],
    ) -> None:
        """Move the read positions, and the fences that go with them."""
        save_offsets(connection, CONSUMED, positions, self._federation)
        rows = [
            {"federation": self._federation, "topic": topic, "node": node, "incarnation": incarnation}
            for (topic, node), incarnation in sorted(fences.items())
        ]
        self._upsert(connection, FENCES, ("federation", "topic", "node"), rows)

    def save_nodes(self, connection: sa.Connection, entries: Mapping[str, NodeEntry]) -> None:
        """Replace the newest statuses of some nodes."""
        rows = [
            {
                "federation": self._federation,
                "node": node,
                "incarnation": entry.status.incarnation,
                "sequence": entry.sequence,
                "seen_at": entry.seen_at,
                "body": entry.status.to_json().decode(),
            }
            for node, entry in entries.items()
        ]
        self._upsert(connection, NODES, ("federation", "node"), rows)

    def save_layout(self, connection: sa.Connection, layout_hash: str, items: Iterable[LayoutItem]) -> None:
        """Keep the layout that a round was opened for: its nodes may be gone when it ends."""
        body = json.dumps([item.model_dump() for item in items])
        row = {"federation": self._federation, "layout_hash": layout_hash, "body": body}
        self._upsert(connection, LAYOUTS, ("federation", "layout_hash"), [row])

    def layout(self, connection: sa.Connection, layout_hash: str) -> tuple[LayoutItem, ...] | None:
        """A kept layout."""
        query = sa.select(LAYOUTS.c.body).where(self._mine(LAYOUTS), LAYOUTS.c.layout_hash == layout_hash)
        text = connection.scalar(query)
        return tuple(LayoutItem(**item) for item in json.loads(text)) if text is not None else None

    def add_artefact(self, connection: sa.Connection, sha256: str, data: bytes) -> None:
        """Keep an artefact's bytes; the same bytes once only."""
        row = {"federation": self._federation, "sha256": sha256, "data": data}
        statement = dialect_insert(connection, ARTEFACTS).on_conflict_do_nothing()
        connection.execute(statement, [row])

    def artefact(self, connection: sa.Connection, sha256: str) -> bytes | None:
        """An artefact's bytes, None if it was pruned."""
        query = sa.select(ARTEFACTS.c.data).where(self._mine(ARTEFACTS), ARTEFACTS.c.sha256 == sha256)
        data = connection.scalar(query)
        return bytes(data) if data is not None else None

    def set_offset(self, connection: sa.Connection, sha256: str, offset: int) -> None:
        """Note where an artefact lies on `models`."""
        where = (self._mine(ARTEFACTS), ARTEFACTS.c.sha256 == sha256)
        connection.execute(sa.update(ARTEFACTS).where(*where).values(log_offset=offset))

    def offset(self, connection: sa.Connection, sha256: str) -> int | None:
        """Where an artefact lies on `models`, None if it was not sent yet."""
        query = sa.select(ARTEFACTS.c.log_offset).where(self._mine(ARTEFACTS), ARTEFACTS.c.sha256 == sha256)
        return connection.scalar(query)

    def add_release(
        self, connection: sa.Connection, release_seq: int, weights: str, statistics: str | None, now: float
    ) -> None:
        """Note a release; its number must be new."""
        row = {
            "federation": self._federation,
            "release_seq": release_seq,
            "weights_sha256": weights,
            "statistics_sha256": statistics,
            "created_at": now,
        }
        connection.execute(sa.insert(RELEASES), row)

    def release_weights(self, connection: sa.Connection, release_seq: int) -> str | None:
        """SHA-256 of a release's weights."""
        where = (self._mine(RELEASES), RELEASES.c.release_seq == release_seq)
        return connection.scalar(sa.select(RELEASES.c.weights_sha256).where(*where))

    def last_release_at(self, connection: sa.Connection) -> float | None:
        """When the newest release was made, seconds since the epoch."""
        query = sa.select(RELEASES.c.created_at).where(self._mine(RELEASES))
        return connection.scalar(query.order_by(RELEASES.c.release_seq.desc()).limit(1))

    def prune(self, connection: sa.Connection, keep: int, candidate: str | None) -> list[str]:
        """Drop artefacts that neither the newest `keep` releases nor the open candidate need.

        Returns:
            SHA-256 of those dropped, for their tombstones.
        """
        newest = (
            sa.select(RELEASES.c.weights_sha256, RELEASES.c.statistics_sha256)
            .where(self._mine(RELEASES))
            .order_by(RELEASES.c.release_seq.desc())
            .limit(keep)
        )
        needed = {sha for row in connection.execute(newest) for sha in row if sha is not None} | {candidate}
        every = connection.scalars(sa.select(ARTEFACTS.c.sha256).where(self._mine(ARTEFACTS))).all()
        gone = sorted(set(every) - needed)
        where = (self._mine(ARTEFACTS), ARTEFACTS.c.sha256.in_(gone))
        connection.execute(sa.delete(ARTEFACTS).where(*where))
        stale = (self._mine(OPTIMIZER_STATES), OPTIMIZER_STATES.c.weights_sha256.in_(gone))
        connection.execute(sa.delete(OPTIMIZER_STATES).where(*stale))
        return gone

    def save_optimizer(self, connection: sa.Connection, weights: str, data: bytes) -> None:
        """Keep the server optimiser's state beside the weights that its step led to."""
        row = {"federation": self._federation, "weights_sha256": weights, "data": data}
        self._upsert(connection, OPTIMIZER_STATES, ("federation", "weights_sha256"), [row])

    def optimizer(self, connection: sa.Connection, weights: str) -> bytes | None:
        """The server optimiser's state as of these weights, None if it begins there."""
        where = (self._mine(OPTIMIZER_STATES), OPTIMIZER_STATES.c.weights_sha256 == weights)
        data = connection.scalar(sa.select(OPTIMIZER_STATES.c.data).where(*where))
        return bytes(data) if data is not None else None

    def forget_optimizer(self, connection: sa.Connection) -> None:
        """Let the server optimiser begin anew, whatever the weights."""
        connection.execute(sa.delete(OPTIMIZER_STATES).where(self._mine(OPTIMIZER_STATES)))

    def save_late(self, connection: sa.Connection, node: str, data: bytes) -> None:
        """Keep a node's late update, in place of an earlier one."""
        row = {"federation": self._federation, "node": node, "data": data}
        self._upsert(connection, LATE_UPDATES, ("federation", "node"), [row])

    def late(self, connection: sa.Connection, node: str) -> bytes | None:
        """A node's late update."""
        where = (self._mine(LATE_UPDATES), LATE_UPDATES.c.node == node)
        data = connection.scalar(sa.select(LATE_UPDATES.c.data).where(*where))
        return bytes(data) if data is not None else None

    def keep_late(self, connection: sa.Connection, nodes: Iterable[str]) -> None:
        """Drop the late updates of all but these nodes."""
        where = (self._mine(LATE_UPDATES), LATE_UPDATES.c.node.not_in(sorted(nodes)))
        connection.execute(sa.delete(LATE_UPDATES).where(*where))

    def _mine(self, table: sa.Table) -> sa.ColumnElement[bool]:
        mine: sa.ColumnElement[bool] = table.c.federation == self._federation
        return mine

    def _upsert(
        self,
        connection: sa.Connection,
        table: sa.Table,
        keys: tuple[str, ...],
        rows: Sequence[Mapping[str, object]],
    ) -> None:
        if not rows:
            return
        statement = dialect_insert(connection, table)
        others = {column.name: statement.excluded[column.name] for column in table.c if column.name not in keys}
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=others), list(rows))
