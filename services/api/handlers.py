"""What the ingest does with the records of one topic: read and check each, then store a batch.

Storing a batch again, or a part of it, changes nothing: later versions win, equal ones are ignored.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import sqlalchemy as sa

from schemas import Alert, Message, ModelArtefact, NodeStatus, Release, RoundCandidate, RoundClosed, RoundPlan
from services.api.rows import Row, bounded, entity_key, json_text, micros, short
from services.api.tables import ALERTS, ARTEFACTS, NODES, RELEASES, ROUNDS
from services.runtime.codecs import sha256, unpack
from services.runtime.database import dialect_insert
from services.runtime.envelope import Opened, open_envelope, read_message
from services.runtime.errors import EnvelopeError
from services.runtime.log import LogRecord
from services.runtime.signing import VerifyKey

Trusted = Callable[[], Mapping[str, VerifyKey] | None]
"""Public keys by sender as of now; None where signatures are not checked."""


class Handler(Protocol):
    """One topic's part of the ingest."""

    def read(self, record: LogRecord, now_us: int) -> Row | None:
        """The row of a record; None where there is nothing to store (a tombstone).

        Raises:
            EnvelopeError: the record cannot be trusted or used; it is counted and skipped.
        """

    def store(self, connection: sa.Connection, rows: Sequence[Row]) -> None:
        """Store rows in the order of the log."""

    def forget(self, connection: sa.Connection) -> None:
        """The topic was replaced by a new one: drop what only the old one said."""


class _TopicHandler(ABC):
    """What all handlers share. As written here, the first row of a key counts and a new topic starts anew.

    Args:
        trusted: whose messages count.
    """

    table: sa.Table

    def __init__(self, trusted: Trusted) -> None:
        self._trusted = trusted

    def read(self, record: LogRecord, now_us: int) -> Row | None:
        """See `Handler.read`."""
        if record.value is None:
            return None
        return self._row(open_envelope(record, self._trusted()), record, arrival_us(record, now_us))

    @abstractmethod
    def _row(self, opened: Opened, record: LogRecord, arrived_us: int) -> Row | None:
        """The row of a message whose envelope is in order; EnvelopeError if it cannot be used."""

    def store(self, connection: sa.Connection, rows: Sequence[Row]) -> None:
        """See `Handler.store`."""
        connection.execute(self._upsert(dialect_insert(connection, self.table)), list(rows))

    def _upsert(self, insert: Any) -> Any:
        return insert.on_conflict_do_nothing()

    def forget(self, connection: sa.Connection) -> None:
        """See `Handler.forget`."""
        connection.execute(sa.delete(self.table))


class AlertHandler(_TopicHandler):
    """Alerts of a site's own cluster, unsigned: one row an alert, the highest version of it.

    Args:
        source: the cluster, as consumed offsets name it; verdicts find their way back by it.
    """

    table = ALERTS

    def __init__(self, source: str) -> None:
        super().__init__(lambda: None)
        self._source = source

    def _row(self, opened: Opened, record: LogRecord, arrived_us: int) -> Row:
        alert = read_message(Alert, opened)
        return {
            "alert_id": str(alert.alert_id),
            "version": bounded(alert.version, "version"),
            "closed": alert.state == "closed",
            "federation": alert.federation,
            "detector": alert.detector,
            "site": alert.site,
            "node": alert.node,
            "entity_key": entity_key(alert.entity),
            "first_us": micros(alert.first.time),
            "last_us": micros(alert.last.time),
            "score": alert.score,
            "arrived_us": arrived_us,
            "body": json_text(alert),
            "source": self._source,
        }

    def store(self, connection: sa.Connection, rows: Sequence[Row]) -> None:
        """See `Handler.store`; of an alert's versions in one batch only the highest is sent."""
        newest: dict[str, Row] = {}
        for row in rows:
            known = newest.get(row["alert_id"])
            if known is None or row["version"] > known["version"]:
                newest[row["alert_id"]] = row
        super().store(connection, list(newest.values()))

    def _upsert(self, insert: Any) -> Any:
        return insert.on_conflict_do_update(
            index_elements=["alert_id"],
            set_={c.name: insert.excluded[c.name] for c in ALERTS.c if c.name != "alert_id"},
            where=insert.excluded.version > ALERTS.c.version,
        )

    def forget(self, connection: sa.Connection) -> None:
        """Nothing: ids hold the source's incarnation, so alerts of the old topic stay true."""


class NodeHandler(_TopicHandler):
    """Status of the nodes: the newest by incarnation, then by arrival."""

    table = NODES

    def _row(self, opened: Opened, record: LogRecord, arrived_us: int) -> Row:
        status = read_message(NodeStatus, opened)
        if status.node != opened.sender:
            raise EnvelopeError("wrong-sender", f"status of {status.node} sent by {opened.sender[:100]!r}")
        return {
            "federation": status.federation,
            "node": status.node,
            "incarnation": bounded(status.incarnation, "incarnation"),
            "arrived_us": arrived_us,
            "body": json_text(status),
        }

    def _upsert(self, insert: Any) -> Any:
        return insert.on_conflict_do_update(
            index_elements=["federation", "node"],
            set_={name: insert.excluded[name] for name in ("incarnation", "arrived_us", "body")},
            where=insert.excluded.incarnation >= NODES.c.incarnation,
        )


class RoundHandler(_TopicHandler):
    """Rounds: plan, candidate and end of each, as they come."""

    table = ROUNDS

    def _row(self, opened: Opened, record: LogRecord, arrived_us: int) -> Row:
        message = _round_message(opened)
        row: Row = {
            "federation": message.federation,
            "round": bounded(message.round, "round"),
            "arrived_us": arrived_us,
            "outcome": message.outcome if isinstance(message, RoundClosed) else None,
        }
        for column, kind in _ROUND_COLUMNS.items():
            row[column] = json_text(message) if isinstance(message, kind) else None
        return row

    def _upsert(self, insert: Any) -> Any:
        new = insert.excluded
        # Another plan for a known number: an aggregator that began anew; what was said about the old one goes.
        anew = sa.and_(new.plan.is_not(None), ROUNDS.c.plan.is_not(None), new.plan != ROUNDS.c.plan)
        kept = {
            name: sa.case((anew, new[name]), else_=sa.func.coalesce(new[name], ROUNDS.c[name]))
            for name in ("outcome", *_ROUND_COLUMNS)
        }
        return insert.on_conflict_do_update(
            index_elements=["federation", "round"], set_={"arrived_us": new.arrived_us, **kept}
        )


class ReleaseHandler(_TopicHandler):
    """Releases: the first one of a number counts, as it does for the nodes."""

    table = RELEASES

    def _row(self, opened: Opened, record: LogRecord, arrived_us: int) -> Row:
        release = read_message(Release, opened)
        return {
            "federation": release.federation,
            "release_seq": bounded(release.release_seq, "release_seq"),
            "version": short(release.version, "version"),
            "kind": release.kind,
            "weights_sha256": release.weights.sha256,
            "body": json_text(release),
        }


class ArtefactHandler(_TopicHandler):
    """Weights, by the digest of their bytes. Tombstones are not followed: the setting `keep_artefacts` decides."""

    table = ARTEFACTS

    def __init__(self, trusted: Trusted, max_bytes: int) -> None:
        super().__init__(trusted)
        self._max_bytes = max_bytes

    def _row(self, opened: Opened, record: LogRecord, arrived_us: int) -> Row | None:
        if opened.type != ModelArtefact.TYPE:
            raise EnvelopeError("wrong-type", f"is {opened.type}, expected {ModelArtefact.TYPE}")
        artefact, _ = unpack(ModelArtefact, opened.value, self._max_bytes)
        digest = sha256(opened.value)
        if record.key != f"{artefact.federation}/{digest}".encode():
            raise EnvelopeError("bad-message", f"key {record.key!r} is not its federation and digest {digest}")
        if artefact.content != "weights":
            return None
        return {
            "federation": artefact.federation,
            "sha256": digest,
            "arrived_us": arrived_us,
            "data": opened.value,
        }


def arrival_us(record: LogRecord, now_us: int) -> int:
    """When a record came: the log's timestamp, but never the future, whatever the sender's clock says."""
    return max(0, min(record.timestamp * 1000, now_us))


_ROUND_COLUMNS: dict[str, type[Message]] = {"plan": RoundPlan, "candidate": RoundCandidate, "closed": RoundClosed}


def _round_message(opened: Opened) -> RoundPlan | RoundCandidate | RoundClosed:
    kinds: tuple[type[Any], ...] = (RoundCandidate, RoundClosed)
    for kind in kinds:
        if opened.type == kind.TYPE:
            message: RoundPlan | RoundCandidate | RoundClosed = read_message(kind, opened)
            return message
    return read_message(RoundPlan, opened)
