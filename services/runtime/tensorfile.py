"""Files of our own: arrays and one JSON value in a safetensors file. For foreign bytes use `codecs.unpack`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save

from streamgauge.errors import StateError

_deserialize: Any = safetensors.deserialize  # has no type information
_KEY = "json"
_DTYPES = {
    "F32": np.float32,
    "F64": np.float64,
    "I32": np.int32,
    "I64": np.int64,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def dump_tensors(value: object, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """One safetensors file; `value` is stored as JSON in its only metadata entry. Equal inputs, equal bytes."""
    # np.save-like writers read memory as it lies: a non-contiguous array would be written wrongly.
    tensors = {name: np.asarray(array, order="C") for name, array in sorted(arrays.items())}
    data: bytes = save(tensors, metadata={_KEY: json.dumps(value, sort_keys=True)})
    return data


def load_tensors(data: bytes) -> tuple[Any, dict[str, NDArray[Any]]]:
    """The inverse of `dump_tensors`; arrays are writable copies.

    Raises:
        StateError: not such a file.
    """
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        value = json.loads(header["__metadata__"][_KEY])
        arrays = {name: _array(spec) for name, spec in _deserialize(data)}
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise StateError(f"not a file of ours: {error}") from error
    return value, arrays


def _array(spec: Mapping[str, Any]) -> NDArray[Any]:
    return np.frombuffer(spec["data"], _DTYPES[spec["dtype"]]).reshape(spec["shape"]).copy()
