"""Many records as one message: an Arrow IPC stream whose fields are the profile's JSON fields."""

from __future__ import annotations

from typing import Any

from streamgauge.profiles.columnar import CONTENT_TYPE

ARROW = ("content-type", CONTENT_TYPE)
"""Header by which a reader knows such a message."""


def arrow_stream(batch: Any) -> bytes:
    """A record batch as an Arrow IPC stream of one batch."""
    import pyarrow as pa

    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, batch.schema) as writer:
        writer.write_batch(batch)
    stream: bytes = out.getvalue().to_pybytes()
    return stream
