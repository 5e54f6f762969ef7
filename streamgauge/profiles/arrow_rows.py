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

    if not _is_flat(column.type):
        return None
    if pa.types.is_timestamp(column.type):
        # Arrow writes any time; Python ends at the year 9999 and does not know every zone.
        column = column.cast(pa.timestamp(column.type.unit)).cast(pa.string())
    return [finite(value) for value in column.to_pylist()]


def _is_flat(kind: Any) -> bool:
    from pyarrow import types

    flat = (types.is_null, types.is_boolean, types.is_integer, types.is_floating, types.is_timestamp, is_text)
    return any(fits(kind) for fits in flat)


def is_text(kind: Any) -> bool:
    """Whether a type holds text, as it stands or dictionary-encoded."""
    from pyarrow import types

    inner = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(inner) or types.is_large_string(inner))


def written_out(batch: Any) -> int:
    """An upper bound of the bytes of its texts when every row has its own: dictionaries stand for more than they
    bring."""
    import pyarrow.compute as pc

    longest = [
        pc.max(pc.binary_length(column.dictionary)).as_py() or 0
        for column in batch.columns
        if is_text(column.type) and hasattr(column, "dictionary")
    ]
    return int(batch.num_rows * sum(longest))


def rows_as_json(batch: Any, rows: list[int]) -> list[bytes]:
    """Rows as JSON objects of their flat columns; a column named by a path lies within an object."""
    if not rows:
        return []
    flat = [(column.name, batch.column(j)) for j, column in enumerate(batch.schema) if _is_flat(column.type)]
    shown = {name: plain_cells(column.take(indices(rows))) or [] for name, column in flat}
    return [msgspec.json.encode(_nested({name: shown[name][k] for name in shown})) for k in range(len(rows))]


def _nested(row: dict[str, Any]) -> dict[str, Any]:
    """Columns named by a path within the objects that a JSON record has there."""
    out: dict[str, Any] = {}
    for name, value in row.items():
        try:
            *outer, last = path_of(name)
        except ConfigurationError:  # no path of the profile's
            outer, last = [], name
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
