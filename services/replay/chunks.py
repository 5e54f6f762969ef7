"""Records on their way to becoming messages: some rows with their times, sites and numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamgauge.profiles.loaders.table import Table


@dataclass(frozen=True)
class Chunk:
    """n consecutive rows.

    Attributes:
        table: the rows.
        times: (n,) float64 seconds since the epoch to state in the records; NaN where the data have a broken one.
        due: (n,) float64, never falling: event time at which each is sent.
        sites: (n,) int64, site of each row; None: every site gets a part of every row.
        first_row: number of the first row over the whole replay, all loops counted.
        phase: for the progress.
    """

    table: Table
    times: NDArray[np.float64]
    due: NDArray[np.float64]
    sites: NDArray[np.int64] | None
    first_row: int
    phase: str = "sending"

    def __len__(self) -> int:
        return len(self.table)
