"""What is trained, voted and calibrated with verdicts differs from what is without them, and in the right way."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from services.edge_node.jobs import run, unprefixed
from streamgauge.detectors import DETECTORS
from streamgauge.judging import MIN_CONFIRMED, HeldOut, VotePolicy, judge, score_rows
from streamgauge.profiles.profile import Profile
from streamgauge.scaler import Scaler
from streamgauge.stream.learning import Learner, LearningPolicy
from streamgauge.stream.reservoir import Rows, empty_rows
from tests.support.plant import START_S, encoded, plant_profile, plant_records, trained_bundle

ROUNDS = 3


@pytest.fixture(scope="module")
def profile() -> Profile:
    return plant_profile()


def learner_of(profile: Profile) -> Learner:
    """One that has learned normal records."""
    learner = Learner(LearningPolicy(bucket_s=10, delay_s=20), profile.schema.centre(), 0)
    records = [r for r in plant_records(2500, 7, attacks=False) if len(r) == 9]
    times, n = np.array([r["time"] for r in records]), len(records)
    x, watermark = encoded(records, profile.schema), START_S + 3000
    names = [r["machine"] for r in records]
    nothing = np.full(n, np.nan, np.float32)
    learner.observe("records:0", times, names, np.arange(n), x, np.zeros(n, bool), nothing, watermark)
    learner.settle({"records:0": watermark})
    return learner


def alert_rows(profile: Profile, n: int, seed: int, far: float) -> NDArray[np.float32]:
    """Records of a machine that is at rest, alike, and so far from all others."""
    records = [r for r in plant_records(n * 2, seed, attacks=False) if len(r) == 9][:n]
    rest = [{**r, "flow": -far + 0.1 * r["flow"], "level": far + 0.1 * r["level"]} for r in records]
    return encoded(rest, profile.schema)


def judged_rows(x: NDArray[np.float32]) -> Rows:
    rows = empty_rows(len(x), x.shape[1])
    rows["x"][:] = x
    return rows


class Trained:
    """A detector after some rounds, from the same weights each time."""

    def __init__(self, detector: str, profile: Profile, learner: Learner) -> None:
        self.bundle = trained_bundle(detector, profile.schema)
        self.detector = DETECTORS[detector](profile.schema.width, {})
        self.scaler: Scaler = self.bundle.model.scaler(profile.schema)
        normal = [r for r in plant_records(3000, 8, attacks=False) if len(r) == 9]
        self.normal = encoded(normal, profile.schema)
        x, y = learner.training_rows()
        values: dict[str, Any] = {"kind": "train", "detector": detector, "width": self.detector.width}
        values |= {"config": asdict(self.detector.config), "epochs": 2, "batch_size": 128, "learning_rate": 2e-3}
        values |= {"terms": {}, "seconds_allowed": 600.0}
        weights = dict(self.bundle.model.weights)
        for seed in range(ROUNDS):
            arrays = {"scaler_mean": self.scaler.mean, "scaler_scale": self.scaler.scale, "x": x, "y": y}
            arrays |= {f"base/{name}": array for name, array in weights.items()}
            _, delta = run({**values, "seed": seed}, arrays)
            weights = {name: weights[name] + change for name, change in unprefixed("delta", delta).items()}
        self.model = replace(self.bundle.model, weights=weights)

    def score(self, x: NDArray[np.float32]) -> float:
        """Median of the rows' scores, the alarm line being where one of a thousand normal records is above it."""
        model = self.model.tensors(self.detector.layout)
        raw, normal = (score_rows(self.detector, *model, self.scaler.apply(rows)) for rows in (x, self.normal))
        return float(np.median(raw) / np.quantile(normal, 0.999))


@pytest.mark.parametrize(
    ("detector", "label", "far", "least", "most"),
    # What is left of the score of repeats. The autoencoder does not read labels, but learns normal rows.
    [
        ("mlp", 0.0, 4.0, 0.0, 0.2),
        ("mlp", 1.0, 1.0, 1.5, np.inf),
        ("contrastive", 0.0, 4.0, 0.0, 0.7),
        ("contrastive", 1.0, 1.0, 1.1, np.inf),
        ("autoencoder", 0.0, 4.0, 0.0, 0.9),
    ],
)
def test_repeats_of_a_false_alarm_score_lower_and_of_an_attack_higher(
    detector: str, label: float, far: float, least: float, most: float, profile: Profile
) -> None:
    repeats, without, judged = alert_rows(profile, 40, 51, far), learner_of(profile), learner_of(profile)
    judged.judged.add("alert", 1, label, judged_rows(alert_rows(profile, 8, 50, far)))
    before, after = (Trained(detector, profile, each).score(repeats) for each in (without, judged))
    assert least * before < after < most * before, (before, after)


def test_a_candidate_that_misses_confirmed_attacks_has_a_lower_auc(profile: Profile) -> None:
    bundle = trained_bundle("mlp", profile.schema)
    detector, scaler = DETECTORS["mlp"](profile.schema.width, {}), bundle.model.scaler(profile.schema)
    normal = [r for r in plant_records(800, 9, attacks=False) if len(r) == 9]
    x = scaler.apply(encoded(normal, profile.schema))
    half = np.arange(len(x)) % 2 == 0
    groups = profile.schema.groups()

    def auc(confirmed: NDArray[np.float32] | None) -> float:
        held_out = HeldOut(x, half, groups, confirmed)
        return judge(detector, bundle.model, bundle.model.weights, held_out, VotePolicy(), 0)[0].auc_candidate

    found = scaler.apply(alert_rows(profile, MIN_CONFIRMED, 50, 4.0))
    missed = x[:MIN_CONFIRMED]
    assert auc(found) > auc(None) > auc(missed) + 0.05
    assert auc(missed[:-1]) == auc(None)
