"""Sends what was decided: at least once, in order, an artefact before the message that names it."""

from __future__ import annotations

import json
from collections.abc import Mapping

import sqlalchemy as sa

from schemas import MESSAGES, Message, ModelArtefact
from services.aggregator.metrics import AggregatorMetrics
from services.aggregator.store import Letter, Store
from services.runtime.codecs import unpack
from services.runtime.database import Database
from services.runtime.envelope import Sealer
from services.runtime.log import Outgoing, Producer
from streamgauge.errors import StateError

ARTEFACT = "artefact"
TOMBSTONE = "tombstone"
_BATCH = 100
_TYPES: Mapping[str, type[Message]] = {message.TYPE: message for message in MESSAGES}


class Outbox:
    """The messages that were decided on and not acknowledged yet.

    A crash after a delivery and before the note of it repeats the message; every receiver of ours knows that.

    Args:
        database: where they are.
        store: its rows.
        producer: delivers.
        sealer: signs.
        metrics: counts.
    """

    def __init__(
        self, database: Database, store: Store, producer: Producer, sealer: Sealer, metrics: AggregatorMetrics
    ) -> None:
        self._database = database
        self._store = store
        self._producer = producer
        self._sealer = sealer
        self._metrics = metrics

    def flush(self) -> None:
        """Send everything, one message after the other.

        Raises:
            StoppedError: the service is stopping; the rest is sent by the next process.
        """
        while True:
            with self._database.read() as connection:
                letters = self._store.first_letters(connection, _BATCH)
            self._metrics.outbox.set(len(letters))
            if not letters:
                return
            for number, letter in letters:
                self._send(number, letter)

    def _send(self, number: int, letter: Letter) -> None:
        with self._database.read() as connection:
            outgoing = self._outgoing(connection, letter)
        if outgoing is not None:
            (sent,) = self._producer.deliver([outgoing])
            self._metrics.sent.labels(letter.topic).inc()
        with self._database.write() as connection:
            if outgoing is not None and letter.type == ARTEFACT:
                self._store.set_offset(connection, _sha256(letter), sent.offset)
            self._store.remove_letter(connection, number)

    def _outgoing(self, connection: sa.Connection, letter: Letter) -> Outgoing | None:
        key = letter.key.encode()
        if letter.type == TOMBSTONE:
            return self._sealer.tombstone(letter.topic, key)
        if letter.type == ARTEFACT:
            data = self._store.artefact(connection, _sha256(letter))
            if data is None:
                return None  # pruned before it could be sent: nothing will name it any more
            header, _ = unpack(ModelArtefact, data, len(data))
            return self._sealer.seal(header, letter.topic, key, body=data)
        body = self._with_offsets(connection, json.loads(letter.body))
        message = _TYPES[letter.type].read(json.dumps(body))
        return self._sealer.seal(message, letter.topic, key, partition=letter.partition)

    def _with_offsets(self, connection: sa.Connection, body: dict[str, object]) -> dict[str, object]:
        for name in ("weights", "statistics"):
            reference = body.get(name)
            if isinstance(reference, dict):
                offset = self._store.offset(connection, reference["sha256"])
                if offset is None:
                    raise StateError(f"artefact {reference['sha256']} is named before it was sent")
                body[name] = {**reference, "offset": offset}
        return body


def _sha256(letter: Letter) -> str:
    return letter.key.rpartition("/")[2]
