"""Many records as one message: an Arrow IPC stream whose fields are the profile's JSON fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamgauge.profiles.loaders.table import Table
from streamgauge.profiles.profile import Profile

CONTENT_TYPE = ("content-type", b"application/vnd.apache.arrow.stream")
"""Header by which a reader knows such a message."""


def arrow_batch(columns: Mapping[str, Sequence[Any]], table: Table, profile: Profile) -> Any:
    """Columns as an Arrow record batch; numbers are taken from the table, where they are arrays already.

    Numeric fields are float64 and null where missing; times are as the profile's format has them: float64 for
    ``unix_s``, int64 for ``unix_ms``; everything else is utf8.
    """
    import pyarrow as pa

    numeric = {field.field for field in profile.numeric}
    arrays = [
        pa.array(table.columns[name], pa.float64(), from_pandas=True) if name in numeric else pa.array(values)
        for name, values in columns.items()
    ]
    return pa.RecordBatch.from_arrays(arrays, list(columns))


def arrow_stream(batch: Any, rows: NDArray[np.int64]) -> bytes:
    """Some rows of a record batch as an Arrow IPC stream of one batch."""
    import pyarrow as pa

    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, batch.schema) as writer:
        writer.write_batch(batch.take(pa.array(rows)))
    stream: bytes = out.getvalue().to_pybytes()
    return stream
