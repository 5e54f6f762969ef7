"""Many records as one message: an Arrow IPC stream whose fields are the profile's JSON fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamgauge.profiles.profile import Profile

CONTENT_TYPE = ("content-type", b"application/vnd.apache.arrow.stream")
"""Header by which a reader knows such a message."""


def arrow_stream(columns: Mapping[str, Sequence[Any]], profile: Profile, rows: NDArray[np.int64]) -> bytes:
    """Some rows of columns as an Arrow IPC stream of one batch.

    Numeric fields are float64 and null where missing; times are as the profile's format has them: float64 for
    ``unix_s``, int64 for ``unix_ms``; everything else is utf8.
    """
    import pyarrow as pa

    numeric = {field.field for field in profile.numeric}
    arrays = []
    for name, values in columns.items():
        taken = [values[row] for row in rows.tolist()]
        if name in numeric:
            arrays.append(pa.array(np.array(taken, np.float64), from_pandas=True))
        else:
            arrays.append(pa.array(taken))
    batch = pa.RecordBatch.from_arrays(arrays, list(columns))
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, batch.schema) as writer:
        writer.write_batch(batch)
    stream: bytes = out.getvalue().to_pybytes()
    return stream
