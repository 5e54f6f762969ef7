"""Deterministic ids: the same record or alert has the same id in every run, so a repeat is no duplicate."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid5

NAMESPACE = UUID("6b1f7c1e-5f0a-5c53-9a3e-2f4d1f0c8e11")


def record_id(cluster: str, incarnation: str, partition: int, offset: int, row: int) -> UUID:
    """UUIDv5 of a record's position; `incarnation` tells lives of a topic apart."""
    return uuid5(NAMESPACE, f"record/{cluster}/{incarnation}/{partition}/{offset}/{row}")


def alert_id(federation: str, detector: str, first_record: UUID) -> UUID:
    """UUIDv5 of federation, detector and the id of the alert's first record."""
    return uuid5(NAMESPACE, f"alert/{federation}/{detector}/{first_record}")


def event_time(seconds: float) -> datetime:
    """Seconds since the epoch as a UTC time, to the microsecond."""
    return datetime.fromtimestamp(seconds, UTC)
