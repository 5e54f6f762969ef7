"""Columns of Arrow as arrays of NumPy: numbers, texts, times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import DataError
from streamgauge.profiles.columns import LATEST_S, time_parser, times_of
from streamgauge.profiles.fields import UNIX
from streamgauge.profiles.loaders.csv_errors import FETCH_AGAIN, MEND

MISSING = ["", "NA", "N/A", "NaN", "nan", "NULL", "null", "#N/A", "None"]
"""How files spell a number that is not there."""


def typed(rows: Any, where: Mapping[str, int], numeric: set[str], file: str, own: bool) -> Any:
    """A record batch's columns as a CSV file would have them: float64 and text, named by their positions.

    Raises:
        DataError: a text where a number must be.
    """
    import pyarrow as pa

    columns = {}
    for name, i in where.items():
        column = rows.column(i)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        try:
            columns[str(i)] = _as_numbers(column) if name in numeric else _as_plain(column)
        except pa.ArrowInvalid as error:
            raise _no_number(f"file {file}: column {name!r}", error, own) from error
    return pa.table(columns)


def _no_number(where: str, error: Exception, own: bool) -> DataError:
    return DataError(f"{where}: {error}; {MEND if own else FETCH_AGAIN}")


def parsed_numbers(cells: Any, where: str) -> Any:
    """Texts of a user's own file as an Arrow array of finite numbers, null where one is missing or infinite.

    Raises:
        DataError: a text is no number; `where` says of what.
    """
    import pyarrow as pa
    from pyarrow import compute

    try:
        found = _as_numbers(cells)
    except pa.ArrowInvalid as error:
        raise _no_number(where, error, own=True) from error
    return compute.if_else(compute.is_finite(found), found, None)


def _as_numbers(column: Any) -> Any:
    import pyarrow as pa
    from pyarrow import compute

    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = compute.utf8_trim_whitespace(column)
        missing = compute.is_in(column, value_set=pa.array(MISSING, column.type))
        column = compute.if_else(missing, None, column)
    return column.cast(pa.float64(), safe=False)


def _as_plain(column: Any) -> Any:
    """Numbers stay what they are where a time may be read from them."""
    import pyarrow as pa

    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return column
    return column.cast(pa.string())


def numbers(column: Any) -> NDArray[np.float64]:
    """(n,) of a column of float64, NaN where it is missing or infinite; may not be written to."""
    values: NDArray[np.float64] = column.to_numpy()
    infinite = np.isinf(values)
    return np.where(infinite, np.nan, values) if infinite.any() else values


def texts(column: Any) -> NDArray[np.object_]:
    """(n,) blanks around taken off, None where nothing is left; equal texts are one object."""
    import pyarrow as pa

    encoded = column.cast(pa.string()).dictionary_encode().combine_chunks()
    if len(encoded) == 0:
        return np.empty(0, object)
    stripped = [(value or "").strip() or None for value in encoded.dictionary.to_pylist()]
    known = np.array([*stripped, None], object)
    found: NDArray[np.object_] = known[encoded.indices.fill_null(len(stripped)).to_numpy(zero_copy_only=False)]
    return found


def seconds(column: Any, format_: str) -> NDArray[np.float64]:
    """(n,) seconds since the epoch; NaN where a cell is no plausible time of the format."""
    import pyarrow as pa
    from pyarrow import compute

    times = None
    if format_ in UNIX:
        plain = column if not pa.types.is_string(column.type) else compute.utf8_trim_whitespace(column)
        try:
            # Much cheaper than one by one; what Arrow cannot read may still be a number to Python.
            times = plain.cast(pa.float64(), safe=False).to_numpy() / UNIX[format_]
        except pa.ArrowInvalid:
            times = None
    if times is None:
        times = times_of(texts(column).tolist(), time_parser(format_))[0]
    plausible = (times > 0) & (times < LATEST_S)
    return times if plausible.all() else np.where(plausible, times, np.nan)
