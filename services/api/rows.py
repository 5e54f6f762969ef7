"""From messages to columns: exact times, bounded numbers, JSON that every reader takes."""

from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas import Message
from services.runtime.errors import EnvelopeError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_NUMBER = 10**18 - 1
"""Fits a database column of 64 bits and a cursor of 18 digits."""
MAX_TEXT = 200
_MICROSECOND = timedelta(microseconds=1)

Row = dict[str, Any]


def micros(time: datetime) -> int:
    """Microseconds since the epoch, exactly."""
    return (time - EPOCH) // _MICROSECOND


def from_micros(value: int) -> datetime:
    """The inverse of `micros`, in UTC."""
    return EPOCH + timedelta(microseconds=value)


def bounded(value: int, name: str) -> int:
    """`value`, if a database column can hold it.

    Raises:
        EnvelopeError: ``out-of-range``.
    """
    if not 0 <= value <= MAX_NUMBER:
        raise EnvelopeError("out-of-range", f"{name} is {value}, at most {MAX_NUMBER}")
    return value


def short(value: str, name: str) -> str:
    """`value`, if it is at most 200 characters without a null character.

    Raises:
        EnvelopeError: ``out-of-range``.
    """
    if len(value) > MAX_TEXT or "\0" in value:
        raise EnvelopeError("out-of-range", f"{name} has {len(value)} characters, at most {MAX_TEXT}, none null")
    return value


def entity_key(entity: str) -> str:
    """What an entity is looked up by: entities are long and hold any character, database indexes do not."""
    return hashlib.sha256(entity.encode()).hexdigest()


def json_text(message: Message) -> str:
    """The message as JSON; numbers that are not finite, which JSON does not have, become null."""
    text = message.model_dump_json()
    if "NaN" not in text and "Infinity" not in text:
        return text
    return json.dumps(_finite(message.model_dump(mode="json")), allow_nan=False, ensure_ascii=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return value
