"""SWaT, December 2015, as its owner's workbooks become when saved as CSV.

A line with the stages may stand above the header, names of tags have stray blanks, times are day first with blanks
before, cells are parted by `,` or by `;` with decimal commas, and the label is misspelt `A ttack` in places.
"""

from __future__ import annotations

from streamgauge.profiles.loaders.base import LOADERS, Dataset
from streamgauge.profiles.loaders.csv_file import read_columns, with_header
from streamgauge.profiles.loaders.files import SourceFile
from streamgauge.profiles.loaders.table import Table, constant
from streamgauge.profiles.loaders.truth import parse_times, spelled_like, table_of, truth_of
from streamgauge.profiles.profile import Profile

TIMES = ("%d/%m/%Y %I:%M:%S %p", "%d/%m/%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S")
LABEL = "Normal/Attack"


def stage_of(tag: str) -> int:
    """The plant's stage, 1 to 6, that a tag belongs to: the first digit of its number.

    >>> stage_of("FIT101"), stage_of("P603")
    (1, 6)
    """
    return int(tag.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")[0])


def read(file: SourceFile, profile: Profile) -> Table:
    """One of the Normal or Attack files."""
    assert profile.label is not None
    columns = read_columns(with_header(file, "Timestamp"), profile, ["Timestamp", LABEL])
    spell = spelled_like({"attack": "attack"})
    times = parse_times(columns.columns["Timestamp"], TIMES, f"file {file.name}: column Timestamp")
    truth = truth_of(columns.columns[LABEL], profile.label, spell=spell)
    return table_of(columns, profile, truth, times=times, entities=constant("plant", len(columns)))


LOADERS.register("swat")(Dataset("swat", (("*Normal_v1*.csv", "*Attack_v0*.csv"), ("*.csv",)), read, "Timestamp"))
