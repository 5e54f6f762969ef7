"""Cells of an Arrow batch as plain Python: rows for the dead letters, context for alerts.

A foreign column may hold what Python or JSON cannot (a time of the year 300,000, binary, a list of a billion nulls
in no bytes): only flat columns are shown, times as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from streamgauge.errors import ConfigurationError
from streamgauge.profiles.paths import path_of


def plain_cells(column: Any) -> list[Any] | None:
    """The cells of a column as None, bool, int, float or text, for JSON; None if its type is not flat.

    Numbers that JSON has not become None: there they are missing cells too.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not _is_flat(column.type):
        return None
    if pa.types.is_timestamp(column.type):
        # Arrow writes any time; Python ends at the year 9999 and does not know every zone.
        column = column.cast(pa.timestamp(column.type.unit)).cast(pa.string())
    if pa.types.is_floating(column.type):
        single = column.cast(pa.float32()) if pa.types.is_float16(column.type) else column
        column = pc.if_else(pc.is_finite(single), single, pa.scalar(None, single.type))
    cells: list[Any] = column.to_pylist()
    return cells


def _is_flat(kind: Any) -> bool:
    arrow = types()
    flat = (arrow.is_null, arrow.is_boolean, arrow.is_integer, arrow.is_floating, arrow.is_timestamp, is_text)
    return any(fits(kind) for fits in flat)


def is_text(kind: Any) -> bool:
    """Whether a type holds text, as it stands or dictionary-encoded."""
    arrow = types()
    inner = kind.value_type if arrow.is_dictionary(kind) else kind
    return bool(arrow.is_string(inner) or arrow.is_large_string(inner))


def types() -> Any:
    """`pyarrow.types`, imported where a message needs it."""
    from pyarrow import types as arrow_types

    return arrow_types


def written_out(batch: Any, texts: Sequence[int]) -> int:
    """An upper bound of the bytes of its texts when every row has its own: dictionaries stand for more than they
    bring.

    Args:
        batch: of which only the dictionary-encoded texts, at the places `texts`, are looked at.
    """
    import pyarrow.compute as pc

    longest = [pc.max(pc.binary_length(batch.column(at).dictionary)).as_py() or 0 for at in texts]
    return int(batch.num_rows * sum(longest))


def rows_as_json(batch: Any, rows: list[int]) -> list[bytes]:
    """Rows as JSON objects of their flat columns; a column named by a path lies within an object."""
    if not rows:
        return []
    flat = [(column.name, batch.column(j)) for j, column in enumerate(batch.schema) if _is_flat(column.type)]
    columns = [plain_cells(column.take(indices(rows))) or [] for _, column in flat]
    names, paths = [name for name, _ in flat], [_path(name) for name, _ in flat]
    encode = msgspec.json.Encoder().encode
    if all(len(path) == 1 for path in paths):
        return [encode(dict(zip(names, cells, strict=True))) for cells in zip(*columns, strict=True)]
    return [encode(_nested(paths, cells)) for cells in zip(*columns, strict=True)]


def _path(name: str) -> tuple[str, ...]:
    try:
        return path_of(name)
    except ConfigurationError:  # no path of the profile's
        return (name,)


def _nested(paths: Sequence[tuple[str, ...]], cells: Sequence[Any]) -> dict[str, Any]:
    """Columns named by a path within the objects that a JSON record has there."""
    out: dict[str, Any] = {}
    for (*outer, last), value in zip(paths, cells, strict=True):
        level = out
        for key in outer:
            if not isinstance(level := level.setdefault(key, {}), dict):
                break
        else:
            level[last] = value
    return out


def indices(rows: Sequence[int]) -> Any:
    """Row numbers as Arrow takes them."""
    import pyarrow as pa

    return pa.array(rows, pa.int64())


def finite(value: Any) -> Any:
    """None for numbers that JSON has not."""
    return None if isinstance(value, float) and not np.isfinite(value) else value
