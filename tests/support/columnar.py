"""Records as Arrow streams, as a collector would send them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from services.runtime.log import Outgoing
from streamgauge.profiles.columnar import CONTENT_TYPE

HEADERS = (("content-type", CONTENT_TYPE),)


def stream(columns: Mapping[str, pa.Array], batches: int = 1, **options: Any) -> bytes:
    """Columns as one stream of so many batches."""
    table = pa.table(dict(columns))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=max(1, math.ceil(len(table) / batches)))
    value: bytes = sink.getvalue().to_pybytes()
    return value


def columnar_messages(
    topic: str, records: Sequence[Mapping[str, Any]], partitions: int, rows: int
) -> list[Outgoing]:
    """Records by machine into partitions, so many to a message; absent keys are nulls."""
    names = sorted({name for record in records for name in record})
    parts: dict[int, list[Mapping[str, Any]]] = {number: [] for number in range(partitions)}
    for record in records:
        parts[int(record["machine"].rpartition("-")[2]) % partitions].append(record)
    sent = []
    for number, part in parts.items():
        for start in range(0, len(part), rows):
            chunk = part[start : start + rows]
            value = stream({name: pa.array([record.get(name) for record in chunk]) for name in names}, batches=2)
            stamp = int(max(record["time"] or 0.0 for record in chunk) * 1000)
            sent.append(Outgoing(topic, b"collector", value, HEADERS, number, stamp))
    return sent
