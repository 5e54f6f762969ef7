"""From bytes to one row a record: a fast path for good batches, a careful one that tells what is wrong."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from typing import Any

import msgspec

from streamgauge.errors import InvalidRecordError
from streamgauge.profiles.paths import flattened, record_struct
from streamgauge.profiles.profile import Profile

_DIGITS = 18
"""Integers of more digits are read as floats: int64 ends there, and int() of thousands of digits is slow."""


Row = tuple[bytes, tuple[Any, ...]]
"""What was read of a record: its numeric fields as packed float64, NaN where missing, and the values of the other
fields, in the order of `RecordReader.others`, None where missing."""


def numeric_fields(profile: Profile) -> tuple[str, ...]:
    """JSON fields that hold one number of each record: none where a message is one tag."""
    return () if profile.long else tuple(f.field for f in profile.numeric)


def other_fields(profile: Profile, learn_labels: bool) -> dict[str, Any]:
    """JSON fields that a decoder reads from every record beside the numeric ones, and what they may hold."""
    types: dict[str | None, Any] = {profile.time.field: str | int | float | None, profile.entity: str | int | None}
    if profile.long:
        types |= {profile.long.tag: str | int | None, profile.long.value: Any}  # a tag not named may hold anything
    else:
        types |= {f.field: str | int | bool | None for f in profile.categorical}
    if profile.label and learn_labels:
        types[profile.label.field] = str | int | float | bool | None
    if profile.entity is not None:  # it may be a category as well
        types[profile.entity] = str | int | None
    return {name: kind for name, kind in types.items() if name is not None}


class RecordReader:
    """Reads JSON objects into rows.

    The outcome of a record depends on its own bytes only, never on its neighbours.

    Args:
        profile: names the fields.
        learn_labels: read the label field too.
        max_record_bytes: longer values are rejected unread.
    """

    def __init__(self, profile: Profile, learn_labels: bool, max_record_bytes: int) -> None:
        numeric, others = numeric_fields(profile), other_fields(profile, learn_labels)
        self.others = tuple(others)
        self._width = len(numeric)
        self._pack = struct.Struct(f"{self._width}d").pack
        self._max_bytes = max_record_bytes
        self._types = dict.fromkeys(numeric, float | None) | others
        self._struct, self._values = record_struct(self._types)
        self._decode = msgspec.json.Decoder(self._struct).decode

    def read_batch(self, values: Sequence[Any]) -> tuple[list[Row], list[int]]:
        """The rows that are plainly good, and the indices of the other values: read those one by one.

        Each record's struct and its numbers are gone before the next is read, so that the same few kilobytes of
        memory serve all: a quarter faster than reading all structs first.
        """
        decode, split = self._decode, self._split
        rows: list[Row] = []
        odd: list[int] = []
        try:
            if max(map(len, values), default=0) > self._max_bytes:
                return [], list(range(len(values)))
        except TypeError:  # a message without a value
            return [], list(range(len(values)))
        start = 0
        while start < len(values):
            try:
                for value in values[start:]:
                    rows.append(split(decode(value)))
                break
            except (ValueError, msgspec.MsgspecError, RecursionError):
                odd.append(len(rows) + len(odd))
                start = odd[-1] + 1
        return rows, odd

    def _split(self, record: Any) -> Row:
        try:
            values = self._values(record)
        except AttributeError:  # null in place of an object
            values = flattened(record, self._types)
        width = self._width
        try:
            return self._pack(*values[:width]), values[width:]
        except struct.error:  # a missing number is None
            numbers = (math.nan if value is None else value for value in values[:width])
            return self._pack(*numbers), values[width:]

    def read_one(self, value: bytes | None) -> Row:
        """One row.

        Raises:
            InvalidRecordError: with a stable reason.
        """
        if value is None:
            raise InvalidRecordError("null-value", "the message has no value")
        if len(value) > self._max_bytes:
            raise InvalidRecordError(
                "too-large",
                f"{len(value)} bytes; the limit is {self._max_bytes}: raise max_record_bytes or send less",
            )
        try:
            return self._split(self._decode(value))
        except (ValueError, msgspec.MsgspecError, RecursionError):
            return self._read_leniently(value)

    def _read_leniently(self, value: bytes) -> Row:
        """Accept a byte-order mark and the literals NaN and Infinity (missing cells), or say what is wrong."""
        parsed = _parse(_text(value))
        if not isinstance(parsed, dict):
            raise InvalidRecordError(
                "wrong-type", f"a JSON {type(parsed).__name__}; expected one object a message"
            )
        try:
            return self._split(msgspec.convert(parsed, self._struct))
        except (msgspec.MsgspecError, OverflowError) as error:
            raise InvalidRecordError("wrong-type", str(error)) from error


def _text(value: bytes) -> str:
    if b"\0" in value[:4]:
        raise InvalidRecordError("wrong-encoding", "looks like UTF-16 or UTF-32; send UTF-8")
    try:
        return bytes(value).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRecordError("wrong-encoding", f"not UTF-8: {error.reason} at byte {error.start}") from error


def _parse(text: str) -> Any:
    try:
        parsed = json.loads(text, parse_constant=lambda _: None, parse_int=_integer)
        if "\\u" in text:
            json.dumps(parsed, ensure_ascii=False).encode()  # fails on half of a surrogate pair
    except UnicodeEncodeError as error:
        raise InvalidRecordError("wrong-encoding", "half of a surrogate pair in a text") from error
    except RecursionError as error:
        raise InvalidRecordError("malformed-json", "nested too deeply") from error
    except ValueError as error:
        raise InvalidRecordError("malformed-json", str(error)) from error
    return parsed


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _DIGITS else float(digits)
