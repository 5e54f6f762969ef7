"""A bundle from the leading, normal part of the data: learned, then calibrated on its last part."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from services.edge_node.bundle import Bundle, BundleInfo
from services.edge_node.scorer import Scorer
from streamgauge.calibration.threshold import by_event_rate
from streamgauge.detectors import DETECTORS
from streamgauge.errors import ConfigurationError
from streamgauge.federation.merging import Contribution, MergePolicy, agree
from streamgauge.judging import take_statistics
from streamgauge.profiles.loaders.records import encoded
from streamgauge.profiles.loaders.table import Table
from streamgauge.profiles.profile import Profile
from streamgauge.simulation.clients import Space, scaler_moments
from streamgauge.state import ModelState
from streamgauge.stream.sequences import SequenceStates
from streamgauge.training import TrainingPlan, train
from streamgauge.windows import windows_of

HELD_OUT = 0.3
"""Share of an entity's training rows, their end, that the alarm line is found on."""
_STEPS, _MOST_EPOCHS, _FEWEST_EPOCHS = 3000, 60, 3
_LEARNING_RATE = 2e-3
_FEWEST_ROWS = 100
_UNLABELLED_SHARE = 0.3


def training_rows(table: Table, text: str | None) -> NDArray[np.bool_]:
    """(n,) the rows to train on; the others are tested.

    Args:
        table: all rows, in order of time.
        text: a number of rows, a time in ISO 8601 up to which, or ``each:ROWS``: so many of every entity. None: up
            to the first abnormal record, at most half of all; without any abnormal one the first 30 %.

    Raises:
        ConfigurationError: none of these, or too little is left on one side.
    """
    n = len(table)
    if text is not None and text.startswith("each:") and text[5:].isdigit():
        chosen = _places(_codes(table)) < int(text[5:])
    else:
        chosen = np.arange(n) < _end(table, text)
    count = int(chosen.sum())
    if not _FEWEST_ROWS <= count < n:
        raise ConfigurationError(
            f"{count} of {n} records are to be trained on; it needs {_FEWEST_ROWS}, and one must be left to test: "
            "say --train ROWS, or --bundle PATH"
        )
    return chosen


def _end(table: Table, text: str | None) -> int:
    n = len(table)
    if text is None:
        abnormal = np.flatnonzero(table.labels == 1)
        return min(int(abnormal[0]), n // 2) if len(abnormal) else int(_UNLABELLED_SHARE * n)
    if text.isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"--train {text}: write a number of rows, each:ROWS, or a time: 2026-01-31T08:00"
        ) from None
    seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return int(np.searchsorted(np.fmax.accumulate(table.times), seconds))


def fit(
    table: Table, profile: Profile, detector_name: str, gap_s: float, events_per_day: float, seed: int
) -> Bundle:
    """Learn from rows that no label calls abnormal, and calibrate.

    Args:
        table: the leading rows, in order of time.
        profile: of the rows.
        detector_name: in the registry; labels are not used.
        gap_s: as in the grouping of alerts.
        events_per_day: allowed false-alarm events per day and entity.
        seed: of weights, order and noise.

    Raises:
        ConfigurationError, StateError: too few rows, or the training diverged.
    """
    table = table.take(np.flatnonzero((table.labels != 1) & ~np.isnan(table.times)))
    x, entities = encoded(table, profile), _codes(table)
    # The end of every entity's rows, so that the line knows them all.
    held = _places(entities) >= (1 - HELD_OUT) * np.bincount(entities)[entities]
    schema = profile.schema
    detector = DETECTORS[detector_name](schema.width, {})
    moments = scaler_moments(x[~held], Space.of(schema))
    arrays = agree(detector.layout, [Contribution("all", "all", int((~held).sum()), moments)], seed, MergePolicy())
    state = ModelState.from_arrays(detector.layout, arrays, None)
    rows = state.scaler(schema).apply(x)
    learned, held_out = rows[~held], rows[held]
    if detector.window > 1:
        learned, _ = windows_of(learned, entities[~held], detector.window)
        held_out, _ = windows_of(held_out, entities[held], detector.window)
    epochs = min(_MOST_EPOCHS, max(_FEWEST_EPOCHS, -(-_STEPS * 128 // max(1, len(learned)))))
    plan = TrainingPlan(epochs=epochs, learning_rate=_LEARNING_RATE, seed=seed)
    trained = train(detector, dict(state.weights), (learned, np.full(len(learned), np.nan, np.float32)), plan)
    weights = {name: state.weights[name] + trained.delta[name] for name in state.weights}
    tensors, _ = ModelState(weights, state.moments).tensors(detector.layout)
    model = ModelState(weights, state.moments, take_statistics(detector, tensors, held_out))
    info = BundleInfo(detector_name, asdict(detector.config), schema.hash, 0, None)
    return _calibrated(Bundle(info, model), table, x, held, profile, gap_s, events_per_day)


def _calibrated(
    bundle: Bundle,
    table: Table,
    x: NDArray[np.float32],
    held: NDArray[np.bool_],
    profile: Profile,
    gap_s: float,
    events_per_day: float,
) -> Bundle:
    """With the alarm line by the held-out rows, scored as the stream is."""
    scorer, states = Scorer(bundle, profile.schema), SequenceStates(len(x))
    scores, _ = scorer.step(x, table.times, table.entities.tolist(), states)
    period = profile.sampling_period_s or _usual_period(table.times[held])
    threshold = by_event_rate(
        scores[held],
        table.times[held],
        table.entities[held].tolist(),
        int(held.sum()) * period,
        events_per_day,
        gap_s,
    ).beside(scores[held])
    return Bundle(replace(bundle.info, threshold=threshold), bundle.model)


def _usual_period(times: NDArray[np.float64]) -> float:
    steps = np.diff(np.unique(times))
    return float(np.median(steps)) if len(steps) else 1.0


def _codes(table: Table) -> NDArray[np.int64]:
    known: dict[str, int] = {}
    return np.array([known.setdefault(name, len(known)) for name in table.entities.tolist()], np.int64)


def _places(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) how many rows of the same code come before."""
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes)
    places = np.empty(len(codes), np.int64)
    places[order] = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
    return places
