"""Arrow IPC streams of foreign origin: nothing is believed before it is checked.

Arrow verifies the metadata of a message, but not what it says of the buffers; `validate(full=True)` does that, and
it is called on every batch before a cell is looked at. A message claims no more memory than it brings. Refused are
compressed buffers (their claimed size is not checked), additions to a dictionary (each batch would keep a copy of
the whole), and more rows than `max_rows` or than bytes (a column of nulls brings none).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from streamgauge.errors import InvalidRecordError, StateError

_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"
"""What a writer that closed its stream wrote last."""
_DICTIONARY, _RECORDS = 2, 3
_HEADER_TYPE, _HEADER, _DATA, _DELTA, _COMPRESSION = 1, 2, 1, 2, 3
"""Kinds and fields of Arrow's flatbuffers (format/Message.fbs), by their number."""
_OLD_COMPRESSION = b"ARROW:experimental_compression"
"""How Arrow 0.17 wrote the same; today's still reads it."""


def read_stream(value: bytes | None, max_bytes: int, max_rows: int) -> Any:
    """A message as one `pyarrow.RecordBatch`, safe to look at.

    Args:
        value: of the message.
        max_bytes, max_rows: a message of more is refused.

    Raises:
        InvalidRecordError: ``null-value``, ``too-large`` or ``malformed-arrow``.
        StateError: pyarrow is not installed.
    """
    if value is None:
        raise InvalidRecordError("null-value", "the message has no value")
    if len(value) > max_bytes:
        raise InvalidRecordError("too-large", f"{len(value)} bytes; the limit is {max_bytes}: send fewer rows")
    if not value.endswith(_END):
        raise InvalidRecordError("malformed-arrow", "the stream has no end: it was cut off or not closed")
    pa = _pyarrow()
    try:
        _refuse_claims(pa, value)
        return _batch(pa, value, min(max_rows, len(value)))
    except InvalidRecordError:
        raise
    except (pa.ArrowException, OSError, ValueError, struct.error, IndexError) as error:
        raise InvalidRecordError(
            "malformed-arrow", str(error).splitlines()[0] if str(error) else repr(error)
        ) from error


def _pyarrow() -> Any:
    try:
        import pyarrow as pa
    except ImportError:
        raise StateError(
            "a message is an Arrow stream and pyarrow is not installed: install the extra streamgauge[columnar]"
        ) from None
    return pa


def _batch(pa: Any, value: bytes, max_rows: int) -> Any:
    batches, rows = [], 0
    with pa.ipc.open_stream(pa.py_buffer(value)) as reader:
        names = reader.schema.names
        if len(set(names)) != len(names):
            doubled = sorted({name for name in names if names.count(name) > 1})
            raise InvalidRecordError("malformed-arrow", f"two columns have the name {doubled[0]!r}")
        for batch in reader:
            rows += batch.num_rows
            if rows > max_rows:
                raise InvalidRecordError(
                    "too-large", f"over {max_rows} rows in a message of {len(value)} bytes: send fewer"
                )
            batch.validate(full=True)
            batches.append(batch)
        return joined(batches, reader.schema)


def joined(batches: Sequence[Any], schema: Any) -> Any:
    """Batches of one schema as one; copies nothing where there is one.

    Of several, dictionaries are numbered by 32 bits or more: all words together may be more than 8 or 16 hold.
    """
    if len(batches) == 1:
        return batches[0]
    pa = _pyarrow()
    for j in [j for j, column in enumerate(schema) if _is_narrow(pa, column.type)]:
        batches = [_widened(pa, batch, j) for batch in batches]
    table = pa.Table.from_batches(batches, batches[0].schema if batches else schema).combine_chunks()
    return pa.RecordBatch.from_arrays(
        [column.chunk(0) if column.num_chunks == 1 else pa.array([], column.type) for column in table.columns],
        schema=table.schema,
    )


def _is_narrow(pa: Any, kind: Any) -> bool:
    return bool(pa.types.is_dictionary(kind)) and kind.index_type.bit_width < 32


def _widened(pa: Any, batch: Any, at: int) -> Any:
    column = batch.column(at)
    wide = pa.DictionaryArray.from_arrays(column.indices.cast(pa.int32()), column.dictionary)
    return batch.set_column(at, batch.schema.field(at).with_type(wide.type), wide)


def _refuse_claims(pa: Any, value: bytes) -> None:
    """Refuse what claims more memory than it brings."""
    for message in pa.ipc.MessageReader.open_stream(pa.py_buffer(value)):
        metadata = message.metadata.to_pybytes()
        (root,) = struct.unpack_from("<I", metadata)
        kind, header = _field(metadata, root, _HEADER_TYPE), _field(metadata, root, _HEADER)
        if kind is None or header is None or metadata[kind] not in (_DICTIONARY, _RECORDS):
            continue
        batch: int | None = _table(metadata, header)
        if metadata[kind] == _DICTIONARY and batch is not None:
            delta, data = _field(metadata, batch, _DELTA), _field(metadata, batch, _DATA)
            if delta is not None and metadata[delta]:
                raise InvalidRecordError("malformed-arrow", "it adds to a dictionary: write it whole")
            batch = None if data is None else _table(metadata, data)
        compressed = batch is not None and _field(metadata, batch, _COMPRESSION) is not None
        if compressed or _OLD_COMPRESSION in metadata:
            raise InvalidRecordError(
                "malformed-arrow", "its buffers are compressed: send them plain and let Kafka compress"
            )


def _table(metadata: bytes, place: int) -> int:
    """Where a table begins that a field refers to."""
    return place + int(struct.unpack_from("<I", metadata, place)[0])


def _field(metadata: bytes, table: int, number: int) -> int | None:
    """Where a field of a flatbuffer's table stands, None if it is absent."""
    entry, place = 4 + 2 * number, table - int(struct.unpack_from("<i", metadata, table)[0])
    (size,) = struct.unpack_from("<H", metadata, place)
    (offset,) = struct.unpack_from("<H", metadata, place + entry) if entry + 2 <= size else (0,)
    return table + int(offset) if offset else None
