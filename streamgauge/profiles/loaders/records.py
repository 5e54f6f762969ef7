"""A table's rows as a stream has them: JSON for a replay, or decoded at once for a benchmark."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamgauge.profiles.columns import category_codes, codes_of
from streamgauge.profiles.decoder import Decoded
from streamgauge.profiles.fields import ISO8601, STRPTIME, UNIX
from streamgauge.profiles.imputing import Imputer
from streamgauge.profiles.loaders.rendering import json_objects
from streamgauge.profiles.loaders.table import NORMAL, UNLABELLED, Table
from streamgauge.profiles.profile import Profile
from streamgauge.stream.imputation import LastValues


def json_records(
    table: Table,
    profile: Profile,
    *,
    labels: bool = False,
    times: NDArray[np.float64] | None = None,
    only: Collection[str] | None = None,
) -> list[bytes]:
    """n JSON objects with the fields of the profile, numbers with all their digits, missing cells as null.

    For the arguments see `record_batch`.
    """
    return json_objects(record_batch(table, profile, labels=labels, times=times, only=only))


def record_batch(
    table: Table,
    profile: Profile,
    *,
    labels: bool = False,
    times: NDArray[np.float64] | None = None,
    only: Collection[str] | None = None,
) -> Any:
    """An Arrow record batch with the fields of the profile, in its order; missing cells are null.

    Numeric fields are float64; times are as the profile's format has them: float64 for ``unix_s``, int64 for
    ``unix_ms``; everything else is utf8.

    Args:
        table: the rows.
        profile: names the fields.
        labels: with the label's fields.
        times: (n,) seconds since the epoch to state in the profile's time field, NaN as null; without them that
            field is left out.
        only: features to keep; None: all.
    """
    import pyarrow as pa

    truth = _truth_columns(table, profile) if labels else {}
    hidden = {name for name in _truth_fields(profile) if name not in truth}
    if only is not None:
        features = {*(f.field for f in profile.numeric), *(f.field for f in profile.categorical)}
        hidden |= features - set(only)
    columns: dict[str, Any] = {}
    for name in profile.fields:
        if name == profile.time.field:
            if times is not None:
                columns[name] = time_values(times, profile.time.format)
        elif name in truth:
            columns[name] = pa.array(truth[name], pa.string())
        elif name not in hidden:
            columns[name] = _cells(table, name, profile)
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def time_values(times: NDArray[np.float64], format_: str) -> Any:
    """(n,) seconds since the epoch as an Arrow array that a profile with this time format reads; NaN as null."""
    import pyarrow as pa

    known = ~np.isnan(times)
    unknown = None if known.all() else ~known
    seconds = np.where(known, times, 0.0)
    if (units := UNIX.get(format_)) == 1:
        return pa.array(np.round(seconds, 6), pa.float64(), mask=unknown)
    if units is not None:
        return pa.array(np.round(seconds * units).astype(np.int64), pa.int64(), mask=unknown)
    if format_ == ISO8601:
        micros = np.round(seconds * 1e6).astype("datetime64[us]")
        whole = bool((micros == micros.astype("datetime64[ms]")).all())
        values = np.datetime_as_string(micros, unit="ms" if whole else "us", timezone="UTC").tolist()
    else:
        pattern = format_.removeprefix(STRPTIME)
        texts = {s: datetime.fromtimestamp(s, UTC).strftime(pattern) for s in np.unique(seconds).tolist()}
        values = [texts[s] for s in seconds.tolist()]
    return pa.array(values, pa.string(), mask=unknown)


def _truth_fields(profile: Profile) -> tuple[str, ...]:
    label = profile.label
    return tuple(name for name in (label.field, label.attack_type) if name) if label else ()


def _truth_columns(table: Table, profile: Profile) -> dict[str, list[Any]]:
    """The label's fields as a decoder reads them."""
    label = profile.label
    if label is None:
        return {}
    kinds: list[str] = table.attack_types.tolist()
    values: dict[str, str | None] = {NORMAL: label.normal[0], UNLABELLED: None}
    types = label.attack_type == label.field
    columns: dict[str, list[Any]] = {label.field: [values.get(kind, kind if types else "1") for kind in kinds]}
    if label.attack_type and not types:
        columns[label.attack_type] = list(kinds)
    return columns


def _cells(table: Table, name: str, profile: Profile) -> Any:
    import pyarrow as pa

    column = table.columns.get(name)
    if column is None and name == profile.entity:
        column = table.entities
    if column is None:
        return pa.nulls(len(table), pa.string())
    return pa.array(column, pa.float64() if column.dtype == np.float64 else pa.string(), from_pandas=True)


def decoded(table: Table, profile: Profile) -> Decoded:
    """What `Decoder.decode` makes of the rows' records, without the way through JSON; no row is rejected.

    `Decoded.good` are the rows of the table; the labels are the table's.
    """
    n = len(table)
    codes = np.empty((n, len(profile.categorical)), np.int64)
    for j, field in enumerate(profile.categorical):
        known, other = category_codes(field), len(field.feature.categories)
        codes[:, j] = codes_of(table.columns[field.field].tolist(), known, other)
    return Decoded(
        good=np.arange(n),
        values=table.matrix([f.field for f in profile.numeric]),
        codes=codes,
        times=table.times,
        entities=table.entities.tolist(),
        labels=table.labels,
        rejected=[],
        _records=[],
        _context=(),
    )


def encoded(table: Table, profile: Profile) -> NDArray[np.float32]:
    """(n, profile.schema.width) float32, missing cells by the profile's rules; masked ones are NaN.

    Rows are filled in the order of the table: sort by time first where a rule is ``last``.
    """
    batch = decoded(table, profile)
    imputer = Imputer(profile)
    last = LastValues(max_entities=max(1, len(set(batch.entities))))
    return imputer.impute(batch, last).encode(profile.schema)
