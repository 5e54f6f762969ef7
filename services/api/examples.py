"""Examples of the OpenAPI document, made from the messages themselves so that they stay right."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from schemas import AlertFeature, ArtefactRef, NodeStatus, RecordRef, Release, RoundClosed, RoundPlan
from services.api.answers import AlertInfo, VerdictInfo

_AT = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)
_HASH = "5e" * 32
_WEIGHTS = ArtefactRef(sha256="ab" * 32, offset=17, size_bytes=20_480)


def _record(number: int, score: float) -> RecordRef:
    return RecordRef(
        record_id=UUID(int=number),
        topic="plant-a",
        partition=0,
        offset=1000 + number,
        time=_AT + timedelta(seconds=number),
        score=score,
    )


VERDICT = VerdictInfo(
    verdict="attack", attack_type="port scan", comment="seen in the log", by="ada", at=_AT + timedelta(hours=1)
)
ALERT = AlertInfo(
    verdict=VERDICT,
    alert_id=UUID("0d9a2a5e-7f5b-5c3e-9f5e-0e3a3b1c2d4f"),
    version=3,
    state="closed",
    close_reason="gap",
    federation="default",
    detector="autoencoder",
    node="plant-a/w1",
    site="plant-a",
    entity="pump-7",
    first=_record(0, 1.2),
    last=_record(2, 1.1),
    worst=_record(1, 3.5),
    count=3,
    scores=(1.2, 3.5, 1.1),
    score=3.5,
    raw_score=0.7,
    threshold=0.2,
    p_value=0.0005,
    release_seq=4,
    bundle_id="cd" * 32,
    explained=True,
    features=(AlertFeature(name="pressure", contribution=0.8, value=9.1, expected=4.2),),
    context={"asset": "P-7"},
)
RELEASE = Release(
    federation="default",
    release_seq=4,
    version="1.4",
    kind="release",
    weights=_WEIGHTS,
    detector="autoencoder",
    schema_hash=_HASH,
    layout_hash=_HASH,
    lineage=1,
    round=3,
    previous_release_seq=3,
    participants=("plant-a/w1", "plant-b/w1"),
    records=120_000,
    metrics={"auc_candidate": 0.97},
    created_at=_AT,
)
STATUS = NodeStatus(
    federation="default",
    node="plant-a/w1",
    site="plant-a",
    incarnation=1_769_846_400_000,
    at=_AT,
    phase="watching",
    detector="autoencoder",
    schema_hash=_HASH,
    layout_hash=_HASH,
    layout=(),
    release_seq=4,
    records_scored=1_000_000,
    partition_count=1,
)
PLAN = RoundPlan(
    federation="default",
    round=3,
    kind="training",
    participants=("plant-a/w1", "plant-b/w1"),
    detector="autoencoder",
    schema_hash=_HASH,
    layout_hash=_HASH,
    base_release_seq=3,
    base_sha256="ab" * 32,
    opened_at=_AT,
)
CLOSED = RoundClosed(
    federation="default",
    round=3,
    outcome="released",
    reason="all sites approved",
    release_seq=4,
    accepted={"plant-a/w1": 60_000, "plant-b/w1": 60_000},
    votes={"plant-a": True, "plant-b": True},
    closed_at=_AT,
)


def json_example(example: Any, description: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` entry of a route for its answer with 200."""
    return {200: {"description": description, "content": {"application/json": {"example": example}}}}


def dump(message: Any) -> dict[str, Any]:
    """A message as plain JSON values."""
    plain: dict[str, Any] = message.model_dump(mode="json")
    return plain
