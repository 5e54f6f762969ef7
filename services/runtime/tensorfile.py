"""Files of our own: arrays and one JSON value in a safetensors file. For foreign bytes use `codecs.unpack`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save, save_file

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


@dataclass(frozen=True)
class TensorFile:
    """A file of ours before it is written: a state at one moment, for another thread to write.

    Attributes:
        text: the value as JSON.
        arrays: by name, contiguous; whoever makes the file must not change them any more.
    """

    text: str
    arrays: dict[str, NDArray[Any]]

    @classmethod
    def of(cls, value: object, arrays: Mapping[str, NDArray[Any]]) -> TensorFile:
        """Encode `value`; later changes of it do not matter, those of `arrays` do."""
        # np.save-like writers read memory as it lies: a non-contiguous array would be written wrongly.
        tensors = {name: np.asarray(array, order="C") for name, array in sorted(arrays.items())}
        return cls(json.dumps(value, sort_keys=True), tensors)

    def to_bytes(self) -> bytes:
        """The file's content. Equal inputs, equal bytes."""
        data: bytes = save(self.arrays, metadata={_KEY: self.text})
        return data

    def write(self, path: Path) -> None:
        """Write the file, without a copy in memory and without Python's lock; neither atomic nor synced.

        Raises:
            OSError: it cannot be written.
        """
        try:
            save_file(self.arrays, path, metadata={_KEY: self.text})
        except SafetensorError as error:
            raise OSError(str(error)) from error


def dump_tensors(value: object, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """One safetensors file; `value` is stored as JSON in its only metadata entry. Equal inputs, equal bytes."""
    return TensorFile.of(value, arrays).to_bytes()


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
