"""Files that `streamgauge plant --out FILE.csv` wrote, wide: several plants may stand in one."""

from __future__ import annotations

from streamgauge.profiles.loaders.base import LOADERS, Dataset
from streamgauge.profiles.loaders.csv_file import read_columns, with_header
from streamgauge.profiles.loaders.files import SourceFile
from streamgauge.profiles.loaders.table import Table
from streamgauge.profiles.loaders.truth import parse_times, table_of, truth_of
from streamgauge.profiles.profile import Profile

_OTHERS = ("t", "plant", "label", "attack_class")


def read(file: SourceFile, profile: Profile) -> Table:
    """One file; the entity is the plant, the attack type the class."""
    assert profile.label is not None
    columns = read_columns(with_header(file, "t"), profile, list(_OTHERS))
    times = parse_times(columns.columns["t"], ["%Y-%m-%dT%H:%M:%SZ"], f"file {file.name}: column t")
    truth = truth_of(columns.columns["label"], profile.label, columns.columns["attack_class"])
    return table_of(columns, profile, truth, times=times, entities=columns.columns["plant"])


LOADERS.register("plant")(Dataset("plant", (("*.csv",),), read))
