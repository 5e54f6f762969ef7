"""What a node knows of a row of a sensor stream: the record, and causal windows that end with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.rolling import rolling
from benchmarks.quality.strict.series_rows import BATADAL_STEP, SKAB_STEP
from streamgauge.evaluation.splits import by_value
from streamgauge.profiles.loaders.table import Table
from streamgauge.simulation import Space

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Stream:
    """How a sensor stream is looked at.

    Attributes:
        short: rows of the window whose mean and deviation are inputs beside the value.
        long: rows of a window whose mean is taken from the short one's; None: no such input.
        step: seconds between rows, and up to how far apart alarms are one event.
        text: the inputs in words.
    """

    short: int
    long: int | None
    step: tuple[float, float]
    text: str

    @property
    def blocks(self) -> int:
        """Inputs a sensor."""
        return 3 if self.long is None else 4


_MOVES = "the value of each sensor, its mean and deviation over 20 s, and that mean minus the mean over 10 min"
STREAMS: Mapping[str, Stream] = {
    "skab": Stream(20, 600, SKAB_STEP, _MOVES),
    "batadal": Stream(6, None, BATADAL_STEP, "the value of each sensor, and its mean and deviation over 6 h"),
    "swat": Stream(20, 600, (1.0, 60.0), _MOVES),
}


@dataclass(frozen=True, eq=False)
class Timing:
    """When rows came, for figures by event.

    Attributes:
        times: (n,) seconds, of all rows.
        runs: (n,) recording a row belongs to.
        step: as of `Stream`; the first is larger where test rows were thinned.
    """

    times: Floats
    runs: NDArray[np.object_]
    step: tuple[float, float]


def windowed(x: NDArray[np.float32], sources: NDArray[np.object_], stream: Stream) -> NDArray[np.float32]:
    """(n, d) records in order of time -> (n, blocks * d); no window crosses from one recording into another.

    The short mean minus the long one shows what a scaler over all recordings hides: small moves about a working
    point that differs from recording to recording. A missing cell counts as the last known value in the windows.
    """
    wide = np.zeros((len(x), stream.blocks * x.shape[1]), np.float32)
    for rows in by_value(sources).values():
        part = _held(x[rows].astype(np.float64))
        mean = rolling(part, "mean", stream.short)
        blocks: list[NDArray[np.floating]] = [x[rows], mean, rolling(part, "std", stream.short)]
        if stream.long is not None:
            blocks.append(mean - rolling(part, "mean", stream.long))
        wide[rows] = np.hstack(blocks)
    return wide


def widened(space: Space, stream: Stream) -> Space:
    """Public encoding of `windowed` rows; deviations and differences may be a tenth as large as values."""
    nothing, small = np.zeros_like(space.centre), 0.1 * space.floor
    changes = stream.blocks - 2
    return Space(
        np.concatenate([space.centre, space.centre, *[nothing] * changes]),
        np.concatenate([space.floor, space.floor, *[small] * changes]),
        np.concatenate([space.groups + i * (space.groups[-1] + 1) for i in range(stream.blocks)]),
    )


def timing(name: str, table: Table, thinned: int) -> Timing:
    """Of a stream of `STREAMS`, of whose test rows every `thinned`-th is kept."""
    step, gap = STREAMS[name].step
    return Timing(table.times, table.sources, (step * thinned, max(gap, step * thinned)))


def _held(x: Floats) -> Floats:
    """Cells that are NaN get the last known value above them; 0 before the first."""
    known = np.isfinite(x)
    last = np.maximum.accumulate(np.where(known, np.arange(len(x))[:, None], 0), axis=0)
    return np.nan_to_num(np.take_along_axis(x, last, axis=0))
