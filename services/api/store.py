"""The questions to the database. Pages go by key, never by OFFSET, so the last one is as fast as the first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from services.api.questions import AlertQuestion, ReleaseQuestion, RoundQuestion, split_cursor
from services.api.rows import entity_key, micros
from services.api.tables import ALERTS, ARTEFACTS, NODES, RELEASES, ROUNDS, VERDICTS
from services.runtime.database import Database

Rows = Sequence[sa.Row[Any]]


class Store:
    """Reads for the routes; every method is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def alerts(self, question: AlertQuestion) -> Rows:
        """Up to limit + 1 rows (first_us, alert_id, body, verdict), the latest first record first."""
        query = _alerts().where(*_alert_filters(question))
        if question.cursor is not None:
            query = query.where(_before((ALERTS.c.first_us, ALERTS.c.alert_id), question.cursor))
        query = query.order_by(ALERTS.c.first_us.desc(), ALERTS.c.alert_id.desc())
        return self._all(query.limit(question.limit + 1))

    def alert(self, alert_id: str) -> sa.Row[Any] | None:
        """The row of one alert, as `alerts` gives it."""
        found = self._all(_alerts().where(ALERTS.c.alert_id == alert_id))
        return found[0] if found else None

    def nodes(self, federation: str | None) -> Rows:
        """Rows (federation, node, arrived_us, body), by federation and name."""
        query = sa.select(NODES.c.federation, NODES.c.node, NODES.c.arrived_us, NODES.c.body)
        if federation is not None:
            query = query.where(NODES.c.federation == federation)
        return self._all(query.order_by(NODES.c.federation, NODES.c.node))

    def rounds(self, question: RoundQuestion) -> Rows:
        """Up to limit + 1 rows, the highest number first."""
        query = sa.select(ROUNDS)
        if question.federation is not None:
            query = query.where(ROUNDS.c.federation == question.federation)
        if question.outcome is not None:
            query = query.where(ROUNDS.c.outcome == question.outcome)
        if question.cursor is not None:
            query = query.where(_before((ROUNDS.c.round, ROUNDS.c.federation), question.cursor))
        query = query.order_by(ROUNDS.c.round.desc(), ROUNDS.c.federation.desc())
        return self._all(query.limit(question.limit + 1))

    def releases(self, question: ReleaseQuestion, kind: str | None = None) -> Rows:
        """Up to limit + 1 rows, the highest number first."""
        query = _releases()
        if question.federation is not None:
            query = query.where(RELEASES.c.federation == question.federation)
        if kind is not None:
            query = query.where(RELEASES.c.kind == kind)
        if question.cursor is not None:
            query = query.where(_before((RELEASES.c.release_seq, RELEASES.c.federation), question.cursor))
        query = query.order_by(RELEASES.c.release_seq.desc(), RELEASES.c.federation.desc())
        return self._all(query.limit(question.limit + 1))

    def versions(self, version: str, federation: str | None) -> Rows:
        """The releases of kind release with this version, one for each federation that has it."""
        query = _releases().where(RELEASES.c.version == version, RELEASES.c.kind == "release")
        if federation is not None:
            query = query.where(RELEASES.c.federation == federation)
        return self._all(query.order_by(RELEASES.c.federation, RELEASES.c.release_seq.desc()))

    def weights(self, federation: str, digest: str) -> bytes | None:
        """An artefact's bytes; None if it is not kept."""
        query = sa.select(ARTEFACTS.c.data).where(
            ARTEFACTS.c.federation == federation, ARTEFACTS.c.sha256 == digest
        )
        with self._database.read() as connection:
            found: bytes | None = connection.scalar(query)
            return found

    def _all(self, query: sa.Select[Any]) -> Rows:
        with self._database.read() as connection:
            return connection.execute(query).all()


def _alerts() -> sa.Select[Any]:
    judged = ALERTS.outerjoin(VERDICTS, VERDICTS.c.alert_id == ALERTS.c.alert_id)
    columns = (ALERTS.c.first_us, ALERTS.c.alert_id, ALERTS.c.body, VERDICTS.c.body.label("verdict"))
    return sa.select(*columns).select_from(judged)


def _alert_filters(question: AlertQuestion) -> list[sa.ColumnElement[bool]]:
    filters: list[sa.ColumnElement[bool]] = [
        ALERTS.c[name] == value
        for name in ("federation", "detector", "site", "node")
        if (value := getattr(question, name)) is not None
    ]
    if question.entity is not None:
        filters.append(ALERTS.c.entity_key == entity_key(question.entity))
    if question.since is not None:
        filters.append(ALERTS.c.last_us >= micros(question.since))
    if question.until is not None:
        filters.append(ALERTS.c.first_us < micros(question.until))
    if question.min_score is not None:
        filters.append(ALERTS.c.score >= question.min_score)
    if question.state is not None:
        filters.append(ALERTS.c.closed == (question.state == "closed"))
    if question.verdict is not None:
        wanted = None if question.verdict == "none" else question.verdict
        filters.append(VERDICTS.c.verdict == wanted)  # of None SQLAlchemy makes IS NULL
    return filters


def _releases() -> sa.Select[Any]:
    """Rows (federation, release_seq, body, in_force, available)."""
    newer = RELEASES.alias()
    newest = (
        sa.select(newer.c.weights_sha256)
        .where(newer.c.federation == RELEASES.c.federation)
        .order_by(newer.c.release_seq.desc())
        .limit(1)
        .scalar_subquery()
    )
    available = sa.exists().where(
        ARTEFACTS.c.federation == RELEASES.c.federation, ARTEFACTS.c.sha256 == RELEASES.c.weights_sha256
    )
    in_force = (RELEASES.c.weights_sha256 == newest).label("in_force")
    return sa.select(
        RELEASES.c.federation, RELEASES.c.release_seq, RELEASES.c.body, in_force, available.label("available")
    )


def _before(key: tuple[sa.Column[Any], sa.Column[Any]], cursor: str) -> sa.ColumnElement[bool]:
    return sa.tuple_(*key) < sa.tuple_(*split_cursor(cursor))
