"""How the plants learn: on hours without attacks alone, or again and again with verdicts on what came since."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.plant.streams import EVERY_S, Stream
from streamgauge.detectors.base import DETECTORS
from streamgauge.evaluation.baselines import BASELINES
from streamgauge.profiles.profile import load_profile
from streamgauge.scaler import scaler_from_moments
from streamgauge.simulation import Client, Examples, SimulationConfig, Space, simulate
from streamgauge.simulation.clients import scaler_moments
from streamgauge.simulation.config import Mode

Floats = NDArray[np.float64]
Score = Callable[[Stream, NDArray[np.int64]], Floats]
"""Raw scores of rows of a stream."""
Learn = Callable[[Sequence[Stream], Sequence["Known"], int], Score]
"""From streams, what is known of each, and a seed."""
RATE = 0.01
"""Nominal share of false alarms, by record."""
ROUNDS, EPOCHS, BATCH = 6, 5, 64
"""With one epoch, networks were hardly trained: chosen on validation plants (seeds from 100 on)."""
STREAM_ROUNDS = 3
"""Each time that the plants learn anew while attacks come."""
THINNED = 2
"""Of the records to train on every second is used: neighbours in time are alike, and a run shall be short."""


@dataclass(frozen=True, eq=False)
class Known:
    """What a plant may learn from.

    Attributes:
        usable: (n,) True for records of the past, of which a verdict came where it is waited for.
        y: (n,) 1 abnormal, 0 normal, NaN without a verdict: presumed normal.
    """

    usable: NDArray[np.bool_]
    y: NDArray[np.float32]


def normal_part(stream: Stream) -> Known:
    """The hours without attacks, without labels."""
    usable = np.arange(len(stream.kind)) < stream.normal
    return Known(usable, np.full(len(usable), np.nan, np.float32))


def with_stream(stream: Stream, now: int, late_s: int | None) -> Known:
    """The hours without attacks, and the stream up to row `now`.

    `late_s`: verdicts come so much after the record, and a record is used once it has one; None: no verdict ever
    comes, and all records are presumed normal.
    """
    row = np.arange(len(stream.kind))
    if late_s is None:
        return Known(row < now, np.full(len(row), np.nan, np.float32))
    usable = row < max(now - late_s // EVERY_S, stream.normal)
    y = np.where(row < stream.normal, np.nan, stream.truth).astype(np.float32)
    return Known(usable, y)


def federation(
    detector: str, mode: Mode = "federated", settings: Mapping[str, Any] | None = None, rounds: int = ROUNDS
) -> Learn:
    """Learning by the simulation, plain averages by records; `settings` are the detector's."""

    def learn(streams: Sequence[Stream], known: Sequence[Known], seed: int) -> Score:
        space = Space.of(load_profile("plant").schema)
        steps = DETECTORS[detector](len(space.centre), settings).window
        clients = [_client(stream, part, steps) for stream, part in zip(streams, known, strict=True)]
        config = SimulationConfig(
            detector,
            detector_config=settings or {},
            mode=mode,
            rounds=rounds,
            epochs=EPOCHS,
            batch_size=BATCH,
            false_alarm_rate=RATE,
        )
        models = simulate(config, clients, seed, space=space).models
        return lambda stream, rows: models[stream.name].scores(stream.windows(rows, steps))

    return learn


def _client(stream: Stream, known: Known, steps: int) -> Client:
    train, statistics = (_examples(stream, known, purpose, steps) for purpose in ("train", "statistics"))
    nothing = train.take(np.zeros(0, np.int64))
    return Client(stream.name, train, statistics, nothing)


def _examples(stream: Stream, known: Known, purpose: str, steps: int) -> Examples:
    rows = stream.within(known.usable & (stream.purpose == purpose), steps)
    rows = rows[::THINNED] if purpose == "train" else rows
    history = known.y[rows[:, None] + np.arange(1 - steps, 1)]
    y = np.where((history == 1).any(axis=1), np.float32(1), known.y[rows])
    return Examples(stream.windows(rows, steps), y)


def pooled_baseline(name: str) -> Learn:
    """A baseline on all plants' records in one place, standardised as the federation agrees."""

    def learn(streams: Sequence[Stream], known: Sequence[Known], seed: int) -> Score:
        space = Space.of(load_profile("plant").schema)
        parts = [_examples(stream, part, "train", 1) for stream, part in zip(streams, known, strict=True)]
        x, y = np.concatenate([part.x for part in parts]), np.concatenate([part.y for part in parts])
        moments = scaler_moments(x, space)
        n, total, squares = moments.values()
        scaler = scaler_from_moments((n, total, squares), space.centre, space.floor)
        baseline = BASELINES[name](seed)
        if baseline.supervised and not (y == 1).any():
            return lambda stream, rows: np.zeros(len(rows))
        baseline.fit(scaler.apply(x), y)
        return lambda stream, rows: baseline.score(scaler.apply(stream.x[rows]))

    return learn


def alarm_line(score: Score, stream: Stream, known: Known) -> float:
    """The score that a share `RATE` of the plant's held-out records not known as abnormal exceeds."""
    rows = np.flatnonzero(known.usable & (stream.purpose == "line") & (known.y != 1))
    return float(np.quantile(score(stream, rows), 1.0 - RATE))
