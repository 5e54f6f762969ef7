"""Rows of files as messages of one tag each (ADR 035), whether the files hold whole records or one tag a line."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import ConfigurationError
from streamgauge.profiles.loaders.arrow_columns import parsed_numbers
from streamgauge.profiles.loaders.inputs import Input
from streamgauge.profiles.loaders.records import record_batch
from streamgauge.profiles.loaders.rendering import json_objects, tokens
from streamgauge.profiles.loaders.streamed import column_names
from streamgauge.profiles.loaders.table import Table, distinct
from streamgauge.profiles.profile import Profile


def file_profile(profile: Profile, inputs: Sequence[Input]) -> Profile:
    """The profile by which the rows of files are read.

    Of a profile with the long layout it has a column for each tag; or, where the header names the columns of tag
    and value, these two.

    Raises:
        ConfigurationError: some files hold whole records, others one tag a line.
        DataError: a file is not as it should be.
    """
    if profile.long is None:
        return profile
    pair = {profile.long.tag, profile.long.value}
    kinds = {pair <= set(column_names(each)) for each in inputs}
    if len(kinds) > 1:
        raise ConfigurationError(
            f"some of the files have the columns {' and '.join(sorted(pair))} of one tag a line, others have not: "
            "give one kind at a time"
        )
    if kinds == {True}:
        context = tuple(dict.fromkeys((profile.long.tag, profile.long.value, *profile.context)))
        return replace(profile, long=None, numeric=(), categorical=(), context=context)
    return replace(profile, long=None)


def one_tag_a_line(table: Table, profile: Profile) -> bool:
    """Whether the rows were read from a file that is long itself."""
    return profile.long is not None and profile.long.value in table.columns


def tag_records(
    table: Table,
    profile: Profile,
    *,
    labels: bool = False,
    times: NDArray[np.float64] | None = None,
    only: Collection[str] | None = None,
) -> tuple[list[bytes], NDArray[np.int64]]:
    """Messages of one tag each, row by row, a row's in the order of the features; missing values as null.

    Args:
        table: the rows, read by `file_profile`.
        profile: with the long layout.
        labels, times: see `record_batch`.
        only: tags to keep; None: all.

    Returns:
        m JSON objects, and (m,) the row of each.

    Raises:
        DataError: a text where a number must be, in a file of one tag a line.
    """
    import pyarrow as pa

    assert profile.long is not None
    if one_tag_a_line(table, profile):
        rows = np.arange(len(table))
        if only is not None:
            names, name = distinct(table.columns[profile.long.tag])
            rows = np.flatnonzero(np.array([each in only for each in names], bool)[name])
        tags = pa.array(table.columns[profile.long.tag][rows], pa.string())
        values = _line_values(table.columns[profile.long.value][rows], tags, profile)
    else:
        rows, tags, values = _cells(table, profile, only)
    frame = replace(profile, long=None, numeric=(), categorical=())
    batch = record_batch(table, frame, labels=labels, times=times).take(pa.array(rows))
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    columns |= {profile.long.tag: tags, profile.long.value: values.cast(pa.binary())}
    ordered = [name for name in profile.message_fields if name in columns]
    return json_objects(pa.RecordBatch.from_arrays([columns[name] for name in ordered], ordered)), rows


def _cells(table: Table, profile: Profile, only: Collection[str] | None) -> tuple[NDArray[np.int64], Any, Any]:
    """Of whole records: the row, tag and value of each message."""
    import pyarrow as pa

    named = [f.field for f in profile.numeric] + [f.field for f in profile.categorical]
    features = [name for name in named if only is None or name in only]
    cells = pa.concat_arrays(
        tokens([pa.array(table.columns[name], _kind(table, name), from_pandas=True) for name in features])
    )
    n, k = len(table), len(features)
    by_row = np.arange(n * k).reshape(k, n).T.ravel()
    names = pa.array(features, pa.string()).take(pa.array(np.tile(np.arange(k), n)))
    return np.repeat(np.arange(n), k), names, cells.take(pa.array(by_row))


def _kind(table: Table, name: str) -> Any:
    import pyarrow as pa

    return pa.float64() if table.columns[name].dtype == np.float64 else pa.string()


def _line_values(values: NDArray[np.object_], tags: Any, profile: Profile) -> Any:
    """Of a file of one tag a line: numbers of numeric tags, texts of all others."""
    import pyarrow as pa
    from pyarrow import compute

    texts = pa.array(values, pa.string())
    numeric = compute.is_in(tags, value_set=pa.array([f.field for f in profile.numeric], pa.string()))
    numbers = parsed_numbers(compute.if_else(numeric, texts, None), f"value of {profile.name}")
    spelled, quoted = tokens([numbers, texts])
    return compute.if_else(numeric, spelled, quoted)
