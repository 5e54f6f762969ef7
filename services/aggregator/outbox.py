"""Sends what was decided: an artefact before the message that names it, with its place in the log filled in."""

from __future__ import annotations

import json
from dataclasses import replace

import sqlalchemy as sa
from typing_extensions import override

from schemas import ModelArtefact
from services.aggregator.metrics import AggregatorMetrics
from services.aggregator.store import Store
from services.runtime.codecs import unpack
from services.runtime.database import Database
from services.runtime.envelope import Sealer
from services.runtime.log import Outgoing, Producer, Sent
from services.runtime.outbox import Letter, Outbox
from streamgauge.errors import StateError

ARTEFACT = "artefact"
TOMBSTONE = "tombstone"


class AggregatorOutbox(Outbox):
    """The messages that were decided on and not acknowledged yet.

    A letter's type is the TYPE of a message, or `ARTEFACT` (its key ends in the SHA-256) or `TOMBSTONE`.

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
        super().__init__(database, store.letters, producer, sealer)
        self._store = store
        self._metrics = metrics

    @override
    def waiting(self, letters: int) -> None:
        self._metrics.outbox.set(letters)

    @override
    def acknowledged(self, connection: sa.Connection, letter: Letter, sent: Sent) -> None:
        self._metrics.sent.labels(letter.topic).inc()
        if letter.type == ARTEFACT:
            self._store.set_offset(connection, _sha256(letter), sent.offset)

    @override
    def outgoing(self, connection: sa.Connection, letter: Letter) -> Outgoing | None:
        key = letter.key.encode()
        if letter.type == TOMBSTONE:
            return self._sealer.tombstone(letter.topic, key)
        if letter.type == ARTEFACT:
            data = self._store.artefact(connection, _sha256(letter))
            if data is None:
                return None  # pruned before it could be sent: nothing will name it any more
            header, _ = unpack(ModelArtefact, data, len(data))
            return self._sealer.seal(header, letter.topic, key, body=data)
        body = json.dumps(self._with_offsets(connection, json.loads(letter.body)))
        return super().outgoing(connection, replace(letter, body=body))

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
