"""Arrays within states that are JSON."""

from __future__ import annotations

import base64
import zlib

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def pack(array: Floats) -> str:
    """Base64 of the compressed float64 values, without the shape."""
    return base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 1)).decode()


def unpack(text: str) -> Floats:
    """The inverse of `pack`: a new, flat array.

    Raises:
        ValueError, zlib.error: damaged.
    """
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.float64).copy()
