"""People's verdicts on alerts: kept beside the alerts, sent to the cluster of each alert through an outbox."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

import sqlalchemy as sa
from typing_extensions import override

from schemas import Alert, Verdict
from services.api.answers import VerdictGiven, VerdictInfo
from services.api.metrics import ApiMetrics
from services.api.rows import from_micros
from services.api.tables import ALERTS, OUTBOX, VERDICTS
from services.runtime.database import Database, dialect_insert
from services.runtime.envelope import Sealer
from services.runtime.errors import BrokerError, StoppedError, TopicError
from services.runtime.log import Producer, Sent
from services.runtime.logging import Paced, get_logger
from services.runtime.outbox import Letter, Letters, Outbox

LOOK_S = 0.5
"""How often the outbox is looked into without being told, and how fast the stop is noticed."""
RETRY_S = 2.0
"""Between two attempts while a cluster or its topic is not there."""
_log = get_logger("api.verdicts")


class NoSuchAlertError(LookupError):
    """No alert has this id."""


class NoWayError(LookupError):
    """The alert's cluster is not among those of the settings, so no node would hear of the verdict."""


class Verdicts:
    """Takes verdicts; what is written and what is to be sent changes in one transaction.

    Args:
        database: of the API.
        topic: where verdicts go, on the cluster of the alert.
        senders: by source, as alerts name it.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        database: Database,
        topic: str,
        senders: Mapping[str, VerdictSender],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database, self._topic, self._senders, self._clock = database, topic, senders, clock

    def give(self, alert_id: str, given: VerdictGiven) -> VerdictInfo:
        """Keep a verdict in place of an earlier one, and have it sent.

        Raises:
            NoSuchAlertError: no alert has this id.
            NoWayError: the cluster of the alert cannot be reached with these settings.
        """
        now_us = int(self._clock() * 1e6)
        info = VerdictInfo(**given.model_dump(), at=from_micros(now_us))
        with self._database.write() as connection:
            body, source = self._alert(connection, alert_id)
            version = _next_version(connection, alert_id, now_us)
            row = {
                "alert_id": alert_id,
                "version": version,
                "verdict": given.verdict,
                "given_us": now_us,
                "body": info.model_dump_json(),
            }
            insert = dialect_insert(connection, VERDICTS)
            changed = {name: insert.excluded[name] for name in row if name != "alert_id"}
            connection.execute(insert.on_conflict_do_update(index_elements=["alert_id"], set_=changed), [row])
            message = _message(Alert.read(body), version, given)
            letter = Letter(self._topic, alert_id, message.TYPE, message.to_json().decode())
            Letters(OUTBOX, OUTBOX.c.source, source).post(connection, [letter])
        self._senders[source].wake()
        return info

    def _alert(self, connection: sa.Connection, alert_id: str) -> tuple[str, str]:
        """Body and source of an alert; a row of an older version is of the only cluster, if there is one only."""
        query = sa.select(ALERTS.c.body, ALERTS.c.source).where(ALERTS.c.alert_id == alert_id)
        found = connection.execute(query).one_or_none()
        if found is None:
            raise NoSuchAlertError(alert_id)
        sources = list(self._senders)
        source = found.source or (sources[0] if len(sources) == 1 else "")
        if source not in self._senders:
            raise NoWayError(found.source or "not known: an older version stored the alert")
        return found.body, source


def _next_version(connection: sa.Connection, alert_id: str, now_us: int) -> int:
    """Above every earlier one, also where the clock was set back, or the database lost and made again."""
    known = connection.scalar(sa.select(VERDICTS.c.version).where(VERDICTS.c.alert_id == alert_id))
    return max(now_us, (known or 0) + 1)


def _message(alert: Alert, version: int, given: VerdictGiven) -> Verdict:
    return Verdict(
        alert_id=alert.alert_id,
        version=version,
        verdict=given.verdict,
        federation=alert.federation,
        detector=alert.detector,
        topic=alert.first.topic,
        partition=alert.first.partition,
        offset=alert.first.offset,
        row=alert.first.row,
    )


class VerdictSender(Outbox):
    """Sends the verdicts on one cluster's alerts; `run` is its loop.

    Args:
        source: the cluster, as alerts name it.
        database: of the API.
        producer: of the cluster.
        sealer: names the API as the sender.
        metrics: counts.
    """

    def __init__(
        self, source: str, database: Database, producer: Producer, sealer: Sealer, metrics: ApiMetrics
    ) -> None:
        super().__init__(database, Letters(OUTBOX, OUTBOX.c.source, source), producer, sealer)
        self._source, self._metrics = source, metrics
        self._due = threading.Event()
        self._outages = Paced()

    def wake(self) -> None:
        """There is something to send."""
        self._due.set()

    def run(self, stop: threading.Event) -> None:
        """Send until `stop` is set; what is left then is sent by the next process."""
        try:
            while not stop.is_set():
                self._due.clear()
                if not self.flush_if_possible():
                    stop.wait(RETRY_S)
                self._due.wait(LOOK_S)
        except StoppedError:
            pass  # while it waited for a broker
        finally:
            self._producer.close()

    def flush_if_possible(self) -> bool:
        """Send everything; False where the cluster or the topic is not there: try again later."""
        try:
            self.flush()
        except (BrokerError, TopicError) as error:
            if times := self._outages.happened():
                _log.warning("verdicts wait", source=self._source, why=str(error), times=times)
            return False
        if self._outages.over():
            _log.info("verdicts are sent again", source=self._source)
        return True

    @override
    def acknowledged(self, connection: sa.Connection, letter: Letter, sent: Sent) -> None:
        self._metrics.verdicts_sent.labels(self._source).inc()

    @override
    def waiting(self, letters: int) -> None:
        self._metrics.outbox.labels(self._source).set(letters)


def shown(body: str, verdict: str | None) -> str:
    """An alert's JSON with the verdict on it, null where nobody has given one; both are JSON already."""
    return f'{body[:-1]},"verdict":{verdict or "null"}}}'
