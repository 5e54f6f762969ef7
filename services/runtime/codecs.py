"""Arrays and bytes: safetensors files that carry their message as the one metadata entry ``message``."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from schemas import LayoutItem, Message
from services.runtime.envelope import parse_message
from services.runtime.errors import EnvelopeError
from streamgauge.errors import StateError
from streamgauge.layout import Item, Layout

_DTYPES = {np.dtype(name): name for name in ("float32", "float64", "int32", "int64", "uint8", "bool")}
_WIRE_DTYPES = frozenset({"F32", "F64", "I32", "I64", "U8", "BOOL"})
_MAX_HEADER_BYTES = 4 << 20
_PREFIX_BYTES = 8

M = TypeVar("M", bound=Message)


def pack(message: Message, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """A safetensors file of `arrays` with `message` in its metadata; equal input gives equal bytes.

    Raises:
        StateError: an array's dtype is not float32, float64, int32, int64, uint8 or bool in native byte order.
    """
    tensors: dict[str, NDArray[Any]] = {}
    for name in sorted(arrays):
        if arrays[name].dtype not in _DTYPES:
            allowed = ", ".join(_DTYPES.values())
            raise StateError(f"array {name!r} is {arrays[name].dtype}; convert it to one of {allowed}")
        # safetensors writes wrong bytes for arrays that are not C-contiguous; order="C" keeps shape () as it is.
        tensors[name] = np.asarray(arrays[name], order="C")
    # One metadata key only: with more their order, and so the hash, would vary.
    data: bytes = save(tensors, metadata={"message": message.to_json().decode()})
    return data


def unpack(cls: type[M], data: bytes, max_bytes: int) -> tuple[M, dict[str, NDArray[Any]]]:
    """Read what `pack` wrote, from a sender that is not trusted. Values may be NaN or infinite: check them.

    Raises:
        EnvelopeError: ``too-large``, ``not-safetensors``, ``bad-message`` or ``unsupported-version``.
    """
    if len(data) > max_bytes:
        raise EnvelopeError("too-large", f"{len(data)} bytes, at most {max_bytes} are accepted")
    message = parse_message(cls, _message_text(data))
    try:
        arrays: dict[str, NDArray[Any]] = load(data)
    except (SafetensorError, ValueError) as error:
        raise EnvelopeError("not-safetensors", str(error)[:200]) from None
    return message, arrays


def _message_text(data: bytes) -> str:
    length = int.from_bytes(data[:_PREFIX_BYTES], "little")
    if len(data) < _PREFIX_BYTES or length > min(_MAX_HEADER_BYTES, len(data) - _PREFIX_BYTES):
        raise EnvelopeError("not-safetensors", f"header of {length} bytes in a file of {len(data)}")
    try:
        header = json.loads(data[_PREFIX_BYTES : _PREFIX_BYTES + length])
    except (ValueError, RecursionError):
        raise EnvelopeError("not-safetensors", "the header is not JSON") from None
    if not isinstance(header, dict) or not all(isinstance(entry, dict) for entry in header.values()):
        raise EnvelopeError("not-safetensors", "the header is not an object of objects")
    text = header.pop("__metadata__", {}).get("message")
    if not isinstance(text, str):
        raise EnvelopeError("bad-message", "the metadata entry 'message' is missing")
    if any(entry.get("dtype") not in _WIRE_DTYPES for entry in header.values()):
        raise EnvelopeError("not-safetensors", f"dtypes other than {', '.join(sorted(_WIRE_DTYPES))}")
    return text


def sha256(data: bytes) -> str:
    """SHA-256 in lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def layout_items(layout: Layout) -> tuple[LayoutItem, ...]:
    """A layout as it travels in messages."""
    return tuple(LayoutItem(**dataclasses.asdict(item)) for item in layout.items)


def layout_from(items: Iterable[LayoutItem]) -> Layout:
    """The inverse of `layout_items`."""
    return Layout(tuple(Item(**item.model_dump()) for item in items))
