"""BATADAL: hourly; day-first times with the hour only (the test file: ISO), blanks, ATT_FLAG -999 not labelled."""

from __future__ import annotations

from streamgauge.profiles.loaders.base import LOADERS, Dataset
from streamgauge.profiles.loaders.csv_file import read_columns, with_header
from streamgauge.profiles.loaders.files import SourceFile
from streamgauge.profiles.loaders.table import Table, constant
from streamgauge.profiles.loaders.truth import parse_times, table_of, truth_of
from streamgauge.profiles.profile import Profile

TIMES = ("%d/%m/%y %H", "%Y-%m-%d %H:%M:%S")
FLAG = "ATT_FLAG"


def read(file: SourceFile, profile: Profile) -> Table:
    """dataset03 (normal), dataset04 (some attacks, else -999) or the test file (benign, attack8 ... attack14)."""
    assert profile.label is not None
    columns = read_columns(with_header(file, "DATETIME"), profile, ["DATETIME", FLAG])
    truth = truth_of(columns.columns[FLAG], profile.label, spell=lambda flag: "attack" if flag == "1" else flag)
    times = parse_times(columns.columns["DATETIME"], TIMES, f"file {file.name}: column DATETIME")
    return table_of(columns, profile, truth, times=times, entities=constant("plant", len(columns)))


LOADERS.register("batadal")(Dataset("batadal", (("BATADAL_*.csv",),), read, "DATETIME"))
