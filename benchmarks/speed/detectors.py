"""What each live detector costs by itself: scoring a record in polls of three sizes, and an epoch of training."""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.speed.sensors import FIELDS, MACHINES, START_S, draw
from streamgauge.detectors import DETECTORS, Detector
from streamgauge.detectors.sequence import SequenceDetector
from streamgauge.judging import score_rows, take_statistics
from streamgauge.layout import initial_weights
from streamgauge.state import ModelState
from streamgauge.stream.sequences import SequenceStates
from streamgauge.training import TrainingPlan, train
from streamgauge.windows import windows_of

BATCHES = (1, 256, 1024)
RECORDS = {1: 2_000, 256: 19_456, 1024: 19_456}
"""Records of a pass, by batch."""
TRAINING_ROWS, EPOCHS, REPEATS = 10_000, 3, 5

Row = dict[str, Any]


def detector_costs(say: Callable[[str], None]) -> list[Row]:
    """Every live detector of the library: microseconds of CPU a record by batch, seconds an epoch.

    Scored as the edge node does it, from standardised rows to raw scores with statistics taken on 4,000 rows; best
    of five passes. Detectors of sequences carry the state of 100 entities whose records take turns, as in the
    stream of the other measurements, and are measured beside with a single entity, whose every poll is one long
    sequence. An epoch goes over 10,000 rows x 51 columns by the plan's defaults (for sequences: windows), best of
    three after a first one; half of the rows labelled abnormal where labels matter, beside no label at all. One
    torch thread.
    """
    import torch

    torch.set_num_threads(1)
    x = ((draw(0, abnormal=False) - 20) / 9).astype(np.float32)  # (20,000, 51)
    rows = []
    for name in live():
        detector = DETECTORS[name](len(FIELDS), {})
        row: Row = {"detector": name, "scoring_us": {}, "epoch_s": {}}
        for case, score in scorings(detector, x).items():
            row["scoring_us"][case] = costs = {str(batch): _cost(score, batch) for batch in BATCHES}
            say(f"{name}, {case}: " + ", ".join(f"{cost:.2f} us at {batch}" for batch, cost in costs.items()))
        for case, labels in _labels(detector).items():
            row["epoch_s"][case] = _epoch(detector, _training_rows(detector, x), labels)
            say(f"{name}, {case}: {row['epoch_s'][case]:.3f} s an epoch")
        rows.append(row)
    return rows


def live() -> list[str]:
    """Names of the library's detectors; benchmarks register more of them."""
    return [name for name, made in DETECTORS.items() if made.__module__.startswith("streamgauge.")]


def _training_rows(detector: Detector, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """(10,000, window * 51): rows, or windows of the entities' consecutive rows."""
    needed = TRAINING_ROWS + MACHINES * (detector.window - 1)
    cut, _ = windows_of(np.resize(x, (needed, x.shape[1])), np.arange(needed) % MACHINES, detector.window)
    return cut[:TRAINING_ROWS]


def _labels(detector: Detector) -> dict[str, NDArray[np.float32]]:
    """Case -> labels of the training rows, NaN without one."""
    none = np.full(TRAINING_ROWS, np.nan, np.float32)
    half = (np.arange(TRAINING_ROWS) % 2).astype(np.float32)
    return {"no labels": none, "half abnormal": half} if detector.uses_labels else {"no labels": none}


def scorings(detector: Detector, x: NDArray[np.float32]) -> dict[str, Callable[[int, int], object]]:
    """Case -> scores the records between two indexes; of sequences in order, with what came before."""
    weights = initial_weights(detector.layout, 0)
    observed = _training_rows(detector, x)[:4_000]
    plain = ModelState(weights, {})
    statistics = take_statistics(detector, plain.tensors(detector.layout)[0], observed)
    tensors, kept = ModelState(weights, {}, statistics).tensors(detector.layout)
    prepared = detector.prepare(kept)
    if not isinstance(detector, SequenceDetector):
        return {"rows": lambda start, end: score_rows(detector, tensors, prepared, x[start:end])}

    def carried(entities: int) -> Callable[[int, int], object]:
        states = SequenceStates()
        names = [f"machine-{i % entities}" for i in range(len(x))]
        times = START_S + np.arange(len(x)) / entities

        def score(start: int, end: int) -> None:
            part = slice(start, end)
            made = states.step(detector, ("measured", tensors, prepared), x[part], times[part], names[part])
            states.commit(made)

        return score

    return {"100 entities take turns": carried(MACHINES), "one entity": carried(1)}


def _cost(score: Callable[[int, int], object], batch: int) -> float:
    """Microseconds of CPU a record, best of five passes."""
    ends = range(batch, RECORDS[batch] + 1, batch)

    def run() -> None:
        for end in ends:
            score(end - batch, end)

    run()
    times = timeit.repeat(run, number=1, repeat=REPEATS, timer=time.process_time)
    return 1e6 * min(times) / (len(ends) * batch)


def _epoch(detector: Detector, rows: NDArray[np.float32], labels: NDArray[np.float32]) -> float:
    """Seconds of CPU of one pass over the rows."""
    base = initial_weights(detector.layout, 0)

    def run() -> None:
        train(detector, dict(base), (rows, labels), TrainingPlan(epochs=1))

    run()
    return min(timeit.repeat(run, number=1, repeat=EPOCHS, timer=time.process_time))
