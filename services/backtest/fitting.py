"""A bundle from the leading, normal part of the data: learned, then calibrated on its last part."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from services.backtest.chain import Chain
from services.edge_node.bundle import Bundle, BundleInfo
from services.edge_node.scorer import Scorer
from streamgauge.calibration.threshold import by_event_rate
from streamgauge.detectors import DETECTORS
from streamgauge.errors import ConfigurationError
from streamgauge.federation.merging import Contribution, MergePolicy, agree
from streamgauge.judging import take_statistics
from streamgauge.profiles.loaders.table import Table
from streamgauge.profiles.profile import Profile
from streamgauge.simulation.clients import Space, scaler_moments
from streamgauge.state import ModelState
from streamgauge.stream.grouping import GroupingPolicy
from streamgauge.stream.sequences import SequenceStates
from streamgauge.training import TrainingPlan, train
from streamgauge.windows import windows_of

HELD_OUT = 0.3
"""Share of an entity's training rows, their end, that the alarm line is found on."""
_STEPS, _MOST_EPOCHS, _FEWEST_EPOCHS = 3000, 60, 3
_LEARNING_RATE = 2e-3
FEWEST_ROWS = 100
MOST_TRAINED = 500_000
"""Records in memory, of whatever long data: 100 MB of 51 numbers."""


@dataclass(frozen=True)
class Learned:
    """n records to learn from, in order of time.

    Attributes:
        x: (n, width) float32, encoded; NaN = masked.
        times: (n,) seconds.
        entities: n names.
        read: how many there were, with those labelled abnormal.
    """

    x: NDArray[np.float32]
    times: NDArray[np.float64]
    entities: list[str]
    read: int


def learned_from(tables: Iterable[Table], profile: Profile, policy: GroupingPolicy) -> Learned:
    """The records that a node would make of the rows, but for those that a label calls abnormal.

    Of more than `MOST_TRAINED` the last ones: only they are kept in memory.
    """
    parts: deque[tuple[NDArray[np.float32], NDArray[np.float64], list[str]]] = deque()
    kept = read = 0
    for poll in Chain(profile, None, policy).polls(tables):
        for piece in poll.pieces:
            normal = np.flatnonzero(piece.truth.labels != 1)
            parts.append((piece.x[normal], piece.times[normal], [piece.entities[i] for i in normal.tolist()]))
            kept, read = kept + len(normal), read + len(piece.times)
            while kept - len(parts[0][1]) >= MOST_TRAINED:
                kept -= len(parts.popleft()[1])
    if not kept:
        raise ConfigurationError(
            f"of {read} records to be trained on none is normal: say --train ROWS, or --bundle PATH"
        )
    x, times, entities = zip(*parts, strict=True)
    return Learned(np.concatenate(x), np.concatenate(times), list(chain(*entities)), read)


def fit(
    data: Learned, profile: Profile, detector_name: str, gap_s: float, events_per_day: float, seed: int
) -> Bundle:
    """Learn and calibrate.

    Args:
        data: normal records.
        profile: of the rows.
        detector_name: in the registry; labels are not used.
        gap_s: as in the grouping of alerts.
        events_per_day: allowed false-alarm events per day and entity.
        seed: of weights, order and noise.

    Raises:
        ConfigurationError, StateError: too few rows, or the training diverged.
    """
    x, entities = data.x, _codes(data.entities)
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
    return _calibrated(Bundle(info, model), data, held, profile, gap_s, events_per_day)


def _calibrated(
    bundle: Bundle,
    data: Learned,
    held: NDArray[np.bool_],
    profile: Profile,
    gap_s: float,
    events_per_day: float,
) -> Bundle:
    """With the alarm line by the held-out rows, scored as the stream is."""
    scorer, states = Scorer(bundle, profile.schema), SequenceStates(len(data.x))
    scores, _ = scorer.step(data.x, data.times, data.entities, states)
    period = profile.sampling_period_s or _usual_period(data.times[held])
    threshold = by_event_rate(
        scores[held],
        data.times[held],
        [data.entities[i] for i in np.flatnonzero(held).tolist()],
        int(held.sum()) * period,
        events_per_day,
        gap_s,
    ).beside(scores[held])
    return Bundle(replace(bundle.info, threshold=threshold), bundle.model)


def _usual_period(times: NDArray[np.float64]) -> float:
    steps = np.diff(np.unique(times))
    return float(np.median(steps)) if len(steps) else 1.0


def _codes(entities: Sequence[str]) -> NDArray[np.int64]:
    known: dict[str, int] = {}
    return np.array([known.setdefault(name, len(known)) for name in entities], np.int64)


def _places(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) how many rows of the same code come before."""
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes)
    places = np.empty(len(codes), np.int64)
    places[order] = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
    return places
