"""SKAB: 35 runs of a water circulation testbed, `;` between cells; the anomaly-free run has no labels' columns."""

from __future__ import annotations

import numpy as np

from streamgauge.profiles.loaders.base import LOADERS, Dataset
from streamgauge.profiles.loaders.csv_file import read_columns, with_header
from streamgauge.profiles.loaders.files import SourceFile
from streamgauge.profiles.loaders.table import NORMAL, Table, constant
from streamgauge.profiles.loaders.truth import Truth, parse_times, table_of, truth_of
from streamgauge.profiles.profile import Profile


def read(file: SourceFile, profile: Profile) -> Table:
    """One run, which is the entity. The attack type is the folder (valve1, valve2, other) and the run."""
    assert profile.label is not None
    text = with_header(file, "datetime")
    labelled = "anomaly" in text.names
    columns = read_columns(text, profile, ["datetime", *(["anomaly"] if labelled else [])])
    n = len(columns)
    run = file.name.removeprefix("data/").removesuffix(".csv")
    truth: Truth = np.zeros(n, np.float32), constant(NORMAL, n)
    if labelled:
        truth = truth_of(columns.columns["anomaly"], profile.label, constant(run, n))
    times = parse_times(columns.columns["datetime"], ["%Y-%m-%d %H:%M:%S"], f"file {file.name}: column datetime")
    return table_of(columns, profile, truth, times=times, entities=constant(run, n))


LOADERS.register("skab")(Dataset("skab", (("*.csv",),), read, "datetime"))
