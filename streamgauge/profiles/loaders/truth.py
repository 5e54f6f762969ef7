"""Times and labels of a loader's rows, read from text columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import DataError
from streamgauge.profiles.columns import labels_of
from streamgauge.profiles.fields import LabelField
from streamgauge.profiles.loaders.csv_file import Columns
from streamgauge.profiles.loaders.table import NORMAL, UNLABELLED, Column, Table, constant, distinct
from streamgauge.profiles.profile import Profile

Truth = tuple[NDArray[np.float32], NDArray[np.object_]]


def parse_times(
    texts: Column, formats: Sequence[str], where: str, *, lenient: bool = False
) -> NDArray[np.float64]:
    """(n,) seconds since the epoch; a time without a zone is UTC.

    Args:
        texts: (n,) str or None.
        formats: strptime formats; each value takes the first that fits.
        where: what to call the column in messages.
        lenient: values that fit none become NaN.
    Raises:
        DataError: a value fits none of the formats.
    """
    import pyarrow as pa
    from pyarrow import compute

    cells, rows = distinct(texts)
    column = pa.array(cells, pa.string())
    seconds = np.full(len(cells), np.nan)
    for format_ in formats:
        parsed = compute.strptime(column, format=format_, unit="s", error_is_null=True).cast(pa.int64())
        found = np.array(parsed.to_numpy(zero_copy_only=False), np.float64)
        seconds = np.where(np.isnan(seconds), found, seconds)
    if not lenient and np.isnan(seconds).any():
        value = cells[int(np.flatnonzero(np.isnan(seconds))[0])]
        raise DataError(f"{where}: {value!r} is not a time like {' or '.join(formats)}; fetch the file again")
    return seconds[rows]


def truth_of(
    labels: Column, label: LabelField, types: Column | None = None, spell: Callable[[str], str] = str
) -> Truth:
    """Labels and attack types, read as the decoder reads them.

    Args:
        labels: (n,) text of the label; ``0``, ``0.0`` and `` 0`` are the same.
        label: what means normal and what means not labelled.
        types: (n,) text of the attack type; without it the label is the type.
        spell: puts right how a type is spelled.
    Returns:
        (n,) float32 and (n,) object, as in `Table`.
    """
    cells, rows = distinct(labels)
    plain = [_plain_number(value) for value in cells]
    values = labels_of(plain, label)[rows]
    kinds, kind_rows = (plain, rows) if types is None else distinct(types)
    spelled = np.array([spell(kind) if kind else "attack" for kind in kinds], object)[kind_rows]
    spelled[values == 0] = NORMAL
    spelled[np.isnan(values)] = UNLABELLED
    return values, spelled


def spelled_like(known: Mapping[str, str]) -> Callable[[str], str]:
    """A function that looks a text up whatever its capital letters, blanks and dashes; others stay as they are."""
    table = {_folded(key): value for key, value in known.items()}
    return lambda text: table.get(_folded(text), text)


def _folded(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isalnum())


def _plain_number(text: str | None) -> str:
    try:
        number = float(text or "")
    except ValueError:
        return text or ""
    return f"{number:g}" if math.isfinite(number) else ""


def table_of(
    columns: Columns,
    profile: Profile,
    truth: Truth,
    *,
    times: NDArray[np.float64] | None = None,
    entities: NDArray[np.object_] | None = None,
) -> Table:
    """A table of one file; keeps the profile's features and context fields, in its order."""
    n = len(columns)
    features = (*(f.field for f in profile.numeric), *(f.field for f in profile.categorical))
    kept = dict.fromkeys((*features, *profile.context))
    return Table(
        profile.name,
        {name: columns.columns[name] for name in kept},
        *truth,
        times=np.full(n, np.nan) if times is None else times,
        entities=constant("", n) if entities is None else entities,
        sources=constant(columns.file, n),
        left_out={columns.file: columns.left_out} if columns.left_out else {},
    )
