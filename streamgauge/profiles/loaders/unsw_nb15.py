"""UNSW-NB15, partition files: a byte-order mark before the header, `-` for no service."""

from __future__ import annotations

from streamgauge.profiles.loaders.base import LOADERS, Dataset
from streamgauge.profiles.loaders.csv_file import read_columns, with_header
from streamgauge.profiles.loaders.files import SourceFile
from streamgauge.profiles.loaders.table import Table
from streamgauge.profiles.loaders.truth import table_of, truth_of
from streamgauge.profiles.profile import Profile

FILES = (("UNSW_NB15_training-set.csv", "UNSW_NB15_testing-set.csv"), ("UNSW_NB15_82332.csv",))


def read(file: SourceFile, profile: Profile) -> Table:
    """One partition file; `id` is a row number and left out."""
    assert profile.label is not None
    columns = read_columns(with_header(file, "attack_cat"), profile, ["attack_cat", "label"])
    truth = truth_of(columns.columns["label"], profile.label, columns.columns["attack_cat"])
    return table_of(columns, profile, truth, entities=columns.columns["service"])


LOADERS.register("unsw-nb15")(Dataset("unsw-nb15", FILES, read, "attack_cat"))
