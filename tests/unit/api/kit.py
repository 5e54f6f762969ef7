"""Builders of messages and of a small API in process."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import numpy as np
import sqlalchemy as sa

from schemas import (
    Alert,
    ArtefactRef,
    Message,
    ModelArtefact,
    NodeStatus,
    RecordRef,
    Release,
    RoundCandidate,
    RoundClosed,
    RoundPlan,
)
from services.api.answers import AlertInfo
from services.api.build import MIGRATIONS
from services.api.handlers import (
    AlertHandler,
    ArtefactHandler,
    Handler,
    NodeHandler,
    ReleaseHandler,
    RoundHandler,
    Trusted,
)
from services.api.ingest import Ingest
from services.api.metrics import ApiMetrics
from services.api.tables import METADATA
from services.api.verdicts import Verdicts, VerdictSender
from services.runtime.codecs import pack, sha256
from services.runtime.database import Database, open_database
from services.runtime.envelope import Sealer
from services.runtime.log import Outgoing
from services.runtime.memory import MemoryBroker
from services.runtime.signing import SigningKey, VerifyKey
from services.runtime.topics import Topics

TOPICS = Topics("sg.")
START = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)
HASH = "5e" * 32
SOURCE = "records@one"
NODE_KEY = SigningKey.generate()
AGGREGATOR_KEY = SigningKey.generate()
RECORDS_SEALER = Sealer("plant-a/w1", 1, None)
NODE_SEALER = Sealer("plant-a/w1", 1, NODE_KEY)
AGGREGATOR_SEALER = Sealer("aggregator", 1, AGGREGATOR_KEY)


def record_ref(second: float, score: float = 2.0) -> RecordRef:
    return RecordRef(
        record_id=UUID(int=int(second * 1000) % 2**64),
        topic="plant",
        partition=0,
        offset=abs(int(second)),
        time=START + timedelta(seconds=second),
        score=score,
    )


def alert(number: int, version: int = 1, **changes: Any) -> Alert:
    """Alert `number` opens at second `number`; its last record comes `version` seconds later."""
    values: dict[str, Any] = {
        "alert_id": UUID(int=number),
        "version": version,
        "state": "opened" if version == 1 else "grown",
        "federation": "default",
        "detector": "autoencoder",
        "node": "plant-a/w1",
        "site": "plant-a",
        "entity": "pump-7",
        "first": record_ref(number),
        "last": record_ref(number + version),
        "worst": record_ref(number),
        "count": 2 ** (version - 1),
        "scores": (2.0,),
        "score": 2.0,
        "raw_score": 1.0,
        "threshold": 0.5,
        "release_seq": 1,
        "bundle_id": "b",
        "explained": False,
    }
    return Alert(**(values | changes))


def status(node: str = "plant-a/w1", **changes: Any) -> NodeStatus:
    values: dict[str, Any] = {
        "federation": "default",
        "node": node,
        "site": node.partition("/")[0],
        "incarnation": 1,
        "at": START,
        "phase": "watching",
        "detector": "autoencoder",
        "schema_hash": HASH,
        "layout_hash": HASH,
        "layout": (),
    }
    return NodeStatus(**(values | changes))


def plan(number: int, **changes: Any) -> RoundPlan:
    values: dict[str, Any] = {
        "federation": "default",
        "round": number,
        "kind": "training",
        "participants": ("plant-a/w1",),
        "detector": "autoencoder",
        "schema_hash": HASH,
        "layout_hash": HASH,
        "base_release_seq": 1,
        "opened_at": START,
    }
    return RoundPlan(**(values | changes))


def candidate(number: int) -> RoundCandidate:
    return RoundCandidate(
        federation="default",
        round=number,
        weights=ArtefactRef(sha256=HASH, offset=0, size_bytes=1),
        base_release_seq=1,
        voters=("plant-a/w1",),
        accepted={"plant-a/w1": 10},
    )


def closed(number: int, outcome: str = "released") -> RoundClosed:
    return RoundClosed.model_validate(
        {"federation": "default", "round": number, "outcome": outcome, "reason": "r", "closed_at": START}
    )


def weights(number: float, federation: str = "default", **changes: Any) -> bytes:
    """The bytes of an artefact."""
    values: dict[str, Any] = {
        "federation": federation,
        "content": "weights",
        "round": 1,
        "detector": "autoencoder",
        "schema_hash": HASH,
        "layout_hash": HASH,
    }
    return pack(ModelArtefact(**(values | changes)), {"w": np.full(3, number, np.float32)})


def release(seq: int, data: bytes = b"", **changes: Any) -> Release:
    values: dict[str, Any] = {
        "federation": "default",
        "release_seq": seq,
        "version": f"1.{seq}",
        "kind": "release",
        "weights": ArtefactRef(sha256=sha256(data), offset=seq, size_bytes=len(data)),
        "detector": "autoencoder",
        "schema_hash": HASH,
        "layout_hash": HASH,
        "lineage": 1,
        "round": seq,
        "previous_release_seq": seq - 1,
        "created_at": START,
    }
    return Release(**(values | changes))


def sealed(message: Message) -> Outgoing:
    """The record of a message, on its topic, sealed by whom it should be."""
    if isinstance(message, Alert):
        return RECORDS_SEALER.seal(message, TOPICS.alerts, message.entity.encode())
    if isinstance(message, NodeStatus):
        return NODE_SEALER.seal(message, TOPICS.nodes, message.node.encode())
    if isinstance(message, Release):
        return AGGREGATOR_SEALER.seal(message, TOPICS.releases, f"default/{message.release_seq}".encode())
    return AGGREGATOR_SEALER.seal(message, TOPICS.rounds, b"default")


def artefact(data: bytes, federation: str = "default", key: bytes | None = None) -> Outgoing:
    """The record of an artefact."""
    header = ModelArtefact(
        federation=federation,
        content="weights",
        round=1,
        detector="autoencoder",
        schema_hash=HASH,
        layout_hash=HASH,
    )
    return AGGREGATOR_SEALER.seal(header, TOPICS.models, key or f"{federation}/{sha256(data)}".encode(), data)


def broker() -> MemoryBroker:
    """With all topics the API reads."""
    made = MemoryBroker()
    made.create_topic(TOPICS.alerts, partitions=3)
    for topic in (TOPICS.nodes, TOPICS.rounds, TOPICS.releases):
        made.create_topic(topic)
    made.create_topic(TOPICS.feedback)
    made.create_topic(TOPICS.models, max_message_bytes=16 << 20)
    return made


def database(directory: Path, content: bytes | None = None) -> Database:
    """The directory's database; where there is none a new one, or one with the content of another's file."""
    file = directory / "api.sqlite"
    if not file.exists():
        file.write_bytes(content or _empty())
    return open_database(f"sqlite:///{file}", MIGRATIONS)


@cache
def _empty() -> bytes:
    """Migrated once: each migration commits to the disk."""
    with TemporaryDirectory() as directory:
        file = Path(directory) / "api.sqlite"
        open_database(f"sqlite:///{file}", MIGRATIONS).close()
        return file.read_bytes()


def handlers(nodes: Trusted | None = None) -> dict[str, Handler]:
    def aggregator() -> dict[str, VerifyKey]:
        return {"aggregator": AGGREGATOR_KEY.verify_key}

    return {
        TOPICS.alerts: AlertHandler(SOURCE),
        TOPICS.nodes: NodeHandler(nodes or (lambda: {"plant-a/w1": NODE_KEY.verify_key})),
        TOPICS.rounds: RoundHandler(aggregator),
        TOPICS.models: ArtefactHandler(aggregator, 1 << 20),
        TOPICS.releases: ReleaseHandler(aggregator),
    }


def ingest(made: MemoryBroker, store: Database, metrics: ApiMetrics | None = None, **changes: Any) -> Ingest:
    source = changes.get("source", "memory")
    return Ingest(source, made.consumer, store, changes.get("handlers", handlers()), metrics or ApiMetrics())


def catch_up(reader: Ingest) -> None:
    """Turn until nothing more comes."""
    while reader.step(0.0):
        pass
    assert reader.waiting_for() == []


def sender(
    made: MemoryBroker, store: Database, source: str = SOURCE, metrics: ApiMetrics | None = None
) -> VerdictSender:
    return VerdictSender(source, store, made.producer(), Sealer("api", 1, None), metrics or ApiMetrics())


def verdicts(store: Database, made: MemoryBroker | None = None) -> Verdicts:
    """Takes verdicts on the alerts of one cluster; nothing is sent before the sender is flushed."""
    return Verdicts(store, TOPICS.feedback, {SOURCE: sender(made or broker(), store)})


def bare(shown: AlertInfo) -> Alert:
    """The alert as the topic has it."""
    return Alert(**shown.model_dump(exclude={"verdict"}))


def contents(store: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table but the arrival times, which are the wall clock's."""
    with store.read() as connection:
        return {
            table.name: [
                tuple(row)
                for row in connection.execute(
                    sa.select(*(c for c in table.c if c.name != "arrived_us")).order_by(*table.primary_key)
                )
            ]
            for table in METADATA.sorted_tables
        }
