"""One CSV file with a header that names the profile's fields: one's own data, or the bundled sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from streamgauge.errors import ConfigurationError
from streamgauge.profiles.loaders.csv_file import read_columns, with_header
from streamgauge.profiles.loaders.files import SourceFile, source_files
from streamgauge.profiles.loaders.table import UNLABELLED, Table, constant
from streamgauge.profiles.loaders.truth import Truth, table_of, truth_of
from streamgauge.profiles.profile import Profile


def load_own(path: Path, profile: Profile) -> Table:
    """Read a CSV file, plain, ``.gz`` or ``.xz``, with labels; rows in the order of the file.

    Raises:
        ConfigurationError: no such file, or the profile names no label.
        DataError: a column is missing, a cell is not a number, or the file cannot be unpacked.
    """
    if profile.label is None:
        raise ConfigurationError(f"profile {profile.name!r} has no [label]; nothing could be measured")
    if not path.is_file():
        raise ConfigurationError(f"data {str(path)!r}: no such file; give a folder, a .csv or a .csv.gz")
    (file,) = source_files(profile.name, path, "", ())
    return _read(file, profile, [profile.label.field])


def read_own(file: SourceFile, profile: Profile) -> Table:
    """Read a CSV file (`,` or `;`); without a column of labels every row is unlabelled.

    A time that the profile's format does not fit is NaN; all are where the time is the message's.

    Raises:
        DataError: a column is missing or a cell is not a number.
    """
    names = with_header(file).names
    return _read(file, profile, [profile.label.field] if profile.label and profile.label.field in names else [])


def _read(file: SourceFile, profile: Profile, labels: list[str]) -> Table:
    label = profile.label
    kinds = label.attack_type if label and labels and label.attack_type != label.field else None
    extra = [name for name in (*labels, kinds, profile.entity) if name]
    columns = read_columns(with_header(file), profile, list(dict.fromkeys(extra)), time=profile.time, own=True)
    n = len(columns)
    truth: Truth = np.full(n, np.nan, np.float32), constant(UNLABELLED, n)
    if label and labels:
        truth = truth_of(columns.columns[label.field], label, columns.columns[kinds] if kinds else None)
    entities = columns.columns[profile.entity] if profile.entity else None
    return table_of(columns, profile, truth, times=columns.times, entities=entities)
