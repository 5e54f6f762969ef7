"""Keeps the database bounded: what is too old goes, and all weights but the newest and those in force."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import sqlalchemy as sa

from services.api.metrics import ApiMetrics
from services.api.settings import ApiSettings
from services.api.tables import ALERTS, ARTEFACTS, RELEASES, ROUNDS, VERDICTS
from services.runtime.database import Database

CHUNK_ROWS = 2_000
"""Rows deleted in one transaction, so that the ingest never waits long."""
_DAY_US = 86_400_000_000


class Housekeeping:
    """Deletes what the settings no longer keep; `run` is its loop, `step` one turn of it."""

    def __init__(
        self,
        database: Database,
        settings: ApiSettings,
        metrics: ApiMetrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._settings = settings
        self._metrics = metrics
        self._clock = clock

    def run(self, stop: threading.Event) -> None:
        """Clean up at every interval until `stop` is set."""
        while not stop.is_set():
            self.step()
            stop.wait(self._settings.housekeeping_interval_s)

    def step(self) -> dict[str, int]:
        """Delete what is due now; returns the number of rows by table."""
        now_us = int(self._clock() * 1e6)
        alerts_before = now_us - int(self._settings.alert_retention_days * _DAY_US)
        rounds_before = now_us - int(self._settings.round_retention_days * _DAY_US)
        deleted = {
            "alerts": self._delete(ALERTS, (ALERTS.c.alert_id,), ALERTS.c.arrived_us < alerts_before),
            "rounds": self._delete(
                ROUNDS, (ROUNDS.c.federation, ROUNDS.c.round), ROUNDS.c.arrived_us < rounds_before
            ),
            "verdicts": self._delete(VERDICTS, (VERDICTS.c.alert_id,), _orphans(alerts_before)),
            "artefacts": self._delete_artefacts(),
        }
        for table, rows in deleted.items():
            self._metrics.pruned.labels(table).inc(rows)
        return deleted

    def _delete(
        self, table: sa.Table, key: tuple[sa.Column[str] | sa.Column[int], ...], due: sa.ColumnElement[bool]
    ) -> int:
        total = 0
        while True:
            some = sa.select(*key).where(due).limit(CHUNK_ROWS)
            with self._database.write() as connection:
                rows = connection.execute(sa.delete(table).where(sa.tuple_(*key).in_(some))).rowcount
            total += rows
            if rows < CHUNK_ROWS:
                return total

    def _delete_artefacts(self) -> int:
        with self._database.read() as connection:
            federations = connection.scalars(sa.select(ARTEFACTS.c.federation).distinct()).all()
        total = 0
        for federation in federations:
            with self._database.write() as connection:
                due = (ARTEFACTS.c.federation == federation) & ARTEFACTS.c.sha256.not_in(
                    self._kept_weights(connection, federation)
                )
                total += connection.execute(sa.delete(ARTEFACTS).where(due)).rowcount
        return total

    def _kept_weights(self, connection: sa.Connection, federation: str) -> list[str]:
        newest = (
            sa.select(ARTEFACTS.c.sha256)
            .where(ARTEFACTS.c.federation == federation)
            .order_by(ARTEFACTS.c.arrived_us.desc(), ARTEFACTS.c.sha256)
            .limit(self._settings.keep_artefacts)
        )
        in_force = (
            sa.select(RELEASES.c.weights_sha256)
            .where(RELEASES.c.federation == federation)
            .order_by(RELEASES.c.release_seq.desc())
            .limit(1)
        )
        return [*connection.scalars(newest), *connection.scalars(in_force)]


def _orphans(before_us: int) -> sa.ColumnElement[bool]:
    """Old verdicts whose alert is gone."""
    gone = ~sa.exists().where(ALERTS.c.alert_id == VERDICTS.c.alert_id)
    return (VERDICTS.c.given_us < before_us) & gone
