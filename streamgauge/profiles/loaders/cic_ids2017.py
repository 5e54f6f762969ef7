"""CIC-IDS2017: blanks before names, a column that comes twice, infinities, empty rows, a dash in Latin-1."""

from __future__ import annotations

import re

import numpy as np

from streamgauge.profiles.loaders.base import LOADERS, Dataset
from streamgauge.profiles.loaders.csv_file import read_columns, with_header
from streamgauge.profiles.loaders.files import SourceFile
from streamgauge.profiles.loaders.table import Table
from streamgauge.profiles.loaders.truth import table_of, truth_of
from streamgauge.profiles.profile import Profile

_DASH = re.compile(r"^Web Attack\W+", re.ASCII)


def _spelled(label: str) -> str:
    """``Web Attack \\x96 XSS`` and its copies with a replacement character as ``Web Attack - XSS``."""
    return _DASH.sub("Web Attack - ", label)


def read(file: SourceFile, profile: Profile) -> Table:
    """One file; rows without a label are the empty ones at the end of a published file, and left out."""
    assert profile.label is not None
    columns = read_columns(with_header(file, "Label"), profile, ["Label"])
    columns = columns.take(np.array([label is not None for label in columns.columns["Label"]], bool))
    return table_of(columns, profile, truth_of(columns.columns["Label"], profile.label, spell=_spelled))


LOADERS.register("cic-ids2017")(Dataset("cic-ids2017", (("*.csv",),), read, "Label"))
