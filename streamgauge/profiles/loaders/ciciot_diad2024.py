"""CIC IoT-DIAD 2024, flow CSVs by their published layout: a folder a family, broken headers, infinities.

The column `Label` says nothing; the folder is the label. Duplicates are exact: see `evaluation.splits`, and split
by `Table.sources`, not by row.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from streamgauge.errors import DataError
from streamgauge.profiles.loaders.base import LOADERS, Dataset
from streamgauge.profiles.loaders.csv_file import read_columns, with_header, without_header
from streamgauge.profiles.loaders.files import SourceFile
from streamgauge.profiles.loaders.table import NORMAL, Table, constant
from streamgauge.profiles.loaders.truth import parse_times, spelled_like, table_of
from streamgauge.profiles.profile import Profile

FAMILIES = ("Benign", "BruteForce", "DDoS", "DoS", "Mirai", "Recon", "Spoofing", "Web-Based")
"""Names of the folders; capital letters and dashes do not matter."""
TIMES = ("%d/%m/%Y %I:%M:%S %p", "%d/%m/%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S")
FIRST = "Flow ID"
_REPEATED = re.compile(rb"(?<=\n)Flow ID,[^\n]*\n")
"""A header in the middle of a file."""


def columns_of(profile: Profile) -> tuple[str, ...]:
    """The 84 published columns in their order, which those of the profile follow."""
    source, target, protocol, *flow = (f.field for f in profile.numeric)
    return (FIRST, "Src IP", source, "Dst IP", target, protocol, "Timestamp", *flow, "Label")


def read(file: SourceFile, profile: Profile) -> Table:
    """One file. A broken header gives way to the published one; lines of another length are left out."""
    family = _family(file.name)
    published = columns_of(profile)
    file = replace(file, data=_REPEATED.sub(b"", file.data))
    text = with_header(file)
    if set(published[:-1]) - set(text.names):
        text = without_header(file, published, number_at=published.index("Flow Duration"))
    columns = read_columns(text, profile, ["Src IP", "Timestamp"], tolerant=True)
    n = len(columns)
    attack = family != "Benign"
    return table_of(
        columns,
        profile,
        (np.full(n, attack, np.float32), constant(family if attack else NORMAL, n)),
        times=parse_times(columns.columns["Timestamp"], TIMES, file.name, lenient=True),
        entities=np.array([address or "" for address in columns.columns["Src IP"]], object),
    )


def _family(name: str) -> str:
    spell = spelled_like({family: family for family in FAMILIES})
    for part in reversed(name.split("/")[:-1]):
        if spell(part) in FAMILIES:
            return spell(part)
    raise DataError(
        f"file {name}: its folder is its label and must be one of {', '.join(FAMILIES)}; "
        "give the folder that holds these"
    )


LOADERS.register("ciciot-diad2024")(Dataset("ciciot-diad2024", (("*.csv",),), read, None))
