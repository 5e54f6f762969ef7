"""A table's rows as a stream has them: JSON for a replay, or decoded at once for a benchmark."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamgauge.profiles.columns import category_codes
from streamgauge.profiles.decoder import Decoded
from streamgauge.profiles.imputing import Imputer
from streamgauge.profiles.loaders.table import NORMAL, UNLABELLED, Table
from streamgauge.profiles.profile import Profile
from streamgauge.stream.imputation import LastValues


def json_records(table: Table, profile: Profile, *, labels: bool = False) -> list[bytes]:
    """n JSON objects with every field of the profile but its time, which whoever sends them states.

    Numbers keep all their digits, missing cells are null; `labels` adds the label's fields.
    """
    fields = {name: _cells(table, name, profile) for name in profile.fields if _is_sent(name, profile)}
    if labels and profile.label is not None:
        label = profile.label
        if label.attack_type and label.attack_type != label.field:
            fields[label.attack_type] = table.attack_types.tolist()
        values: dict[str, str | None] = {NORMAL: label.normal[0], UNLABELLED: None}
        kinds: list[str] = table.attack_types.tolist()
        types = label.attack_type == label.field
        fields[label.field] = [values.get(kind, kind if types else "1") for kind in kinds]
    encode = msgspec.json.Encoder().encode
    names = list(fields)
    return [encode(dict(zip(names, row, strict=True))) for row in zip(*fields.values(), strict=True)]


def _is_sent(name: str, profile: Profile) -> bool:
    label = (profile.label.field, profile.label.attack_type) if profile.label else ()
    return name != profile.time.field and name not in label


def _cells(table: Table, name: str, profile: Profile) -> list[Any]:
    column = table.columns.get(name)
    if column is None and name == profile.entity:
        column = table.entities
    return [None] * len(table) if column is None else column.tolist()


def decoded(table: Table, profile: Profile) -> Decoded:
    """What `Decoder.decode` makes of the rows' records, without the way through JSON; no row is rejected.

    `Decoded.good` are the rows of the table; the labels are the table's.
    """
    n = len(table)
    codes = np.empty((n, len(profile.categorical)), np.int64)
    for j, field in enumerate(profile.categorical):
        known, other = category_codes(field), len(field.feature.categories)
        codes[:, j] = [known.get(value, other) for value in table.columns[field.field].tolist()]
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
