"""CICIoT2022, benign device extract: a tar.xz archive with a folder a device; blanks in names of columns."""

from __future__ import annotations

import numpy as np

from streamgauge.errors import DataError
from streamgauge.profiles.loaders.base import LOADERS, Dataset
from streamgauge.profiles.loaders.csv_file import read_columns, with_header
from streamgauge.profiles.loaders.files import SourceFile
from streamgauge.profiles.loaders.table import NORMAL, Table, constant
from streamgauge.profiles.loaders.truth import table_of
from streamgauge.profiles.profile import Profile

TIME = "epoch_timestamp"


def read(file: SourceFile, profile: Profile) -> Table:
    """One capture of one device; the folder is the device, the first column a row number."""
    columns = read_columns(with_header(file, TIME), profile, [TIME])
    n = len(columns)
    try:
        times = np.array([np.nan if t is None else float(t) for t in columns.columns[TIME]], np.float64)
    except ValueError as error:
        raise DataError(f"file {file.name}: column {TIME!r}: {error}; fetch the file again") from error
    truth = np.zeros(n, np.float32), constant(NORMAL, n)
    device = file.name.split("/")[-2] if "/" in file.name else file.name.removesuffix(".csv")
    return table_of(columns, profile, truth, times=times, entities=constant(device, n))


LOADERS.register("ciciot2022")(Dataset("ciciot2022", (("*.csv",),), read, TIME))
