"""From bytes to one struct a record: a fast path for good batches, a careful one that tells what is wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from streamgauge.errors import InvalidRecordError
from streamgauge.profiles.profile import Profile

_DIGITS = 18
"""Integers of more digits are read as floats: int64 ends there, and int() of thousands of digits is slow."""


def struct_fields(profile: Profile, learn_labels: bool) -> dict[str, str]:
    """JSON field -> attribute of the struct, for the fields that a decoder reads from every record.

    Numeric fields come first, so that a struct's first values are its row of the matrix.
    """
    label = (profile.label.field,) if profile.label and learn_labels else ()
    categorical = (f.field for f in profile.categorical)
    others = (profile.time.field, profile.entity, *categorical, *label)
    names = dict.fromkeys([*(f.field for f in profile.numeric), *(name for name in others if name is not None)])
    return {name: f"f{i}" for i, name in enumerate(names)}


class RecordReader:
    """Reads JSON objects into structs with one attribute a field; missing and null fields are None.

    The outcome of a record depends on its own bytes only, never on its neighbours.

    Args:
        profile: names the fields.
        learn_labels: read the label field too.
        max_record_bytes: longer values are rejected unread.
    """

    def __init__(self, profile: Profile, learn_labels: bool, max_record_bytes: int) -> None:
        self.attributes = struct_fields(profile, learn_labels)
        self._max_bytes = max_record_bytes
        self._struct = self._make_struct(profile, learn_labels)
        self._decode = msgspec.json.Decoder(self._struct).decode

    def _make_struct(self, profile: Profile, learn_labels: bool) -> type[msgspec.Struct]:
        types: dict[str, Any] = {f.field: float | None for f in profile.numeric}
        types |= {f.field: str | int | bool | None for f in profile.categorical}
        if profile.label and learn_labels:
            types[profile.label.field] = str | int | float | bool | None
        if profile.time.field is not None:
            types[profile.time.field] = str | int | float | None
        if profile.entity is not None:
            types[profile.entity] = str | int | None
        return msgspec.defstruct(
            "Record",
            [(attribute, types[name], None) for name, attribute in self.attributes.items()],
            rename={attribute: name for name, attribute in self.attributes.items()},
            gc=False,
        )

    def read_batch(self, values: Sequence[Any]) -> list[Any] | None:
        """All structs, or None if any value (bytes or None) is not plainly good: then read them one by one."""
        try:
            if max(map(len, values), default=0) > self._max_bytes:
                return None
            return list(map(self._decode, values))
        except (TypeError, ValueError, msgspec.MsgspecError, RecursionError):
            return None

    def read_one(self, value: bytes | None) -> Any:
        """One struct.

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
            return self._decode(value)
        except (ValueError, msgspec.MsgspecError, RecursionError):
            return self._read_leniently(value)

    def _read_leniently(self, value: bytes) -> Any:
        """Accept a byte-order mark and the literals NaN and Infinity (missing cells), or say what is wrong."""
        parsed = _parse(_text(value))
        if not isinstance(parsed, dict):
            raise InvalidRecordError(
                "wrong-type", f"a JSON {type(parsed).__name__}; expected one object a message"
            )
        try:
            return msgspec.convert(parsed, self._struct)
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
