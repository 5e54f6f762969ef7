"""What every detector promises, checked for each one in the registry: a new file is tested without a new test."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.edge_node.bundle import Bundle, BundleInfo
from services.runtime.tensorfile import dump_tensors, load_tensors
from streamgauge.detectors import DETECTORS, Detector
from streamgauge.errors import ConfigurationError
from streamgauge.evaluation.corruptions import corrupt
from streamgauge.evaluation.metrics import auc
from streamgauge.judging import score_rows, take_statistics
from streamgauge.layout import Layout, check_arrays, initial_weights
from streamgauge.scaler import CLIP, SCALER
from streamgauge.state import ModelState, statistics_tensors
from streamgauge.training import TrainingPlan, train
from tests.support.detectors import LIBRARY_DETECTORS
from tests.support.examples import examples

WIDTH = 12
GROUPS = np.arange(WIDTH)
ADDITIVE = {"autoencoder", "autoencoder_kmeans", "dynamic_pca", "lstm", "pca"}
"""Detectors whose attributions add up to the raw score."""


def normal_rows(n: int, seed: int) -> NDArray[np.float32]:
    """Twelve columns that follow three hidden causes."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(7).normal(size=(3, WIDTH))
    rows = rng.normal(size=(n, 3)) @ mixing + 0.1 * rng.normal(size=(n, WIDTH))
    scaled: NDArray[np.float32] = (rows / np.sqrt((mixing**2).sum(0) + 0.01)).clip(-CLIP, CLIP).astype(np.float32)
    return scaled


@dataclass(frozen=True)
class Case:
    """A detector, fresh and trained."""

    detector: Detector
    fresh: ModelState
    trained: ModelState

    def scores(self, x: NDArray[np.float32], model: ModelState | None = None) -> NDArray[np.float64]:
        return score_rows(self.detector, *(model or self.trained).tensors(self.detector.layout), x)


def moments_of(x: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    wide = x.astype(np.float64)
    parts = {"n": np.full(WIDTH, float(len(x))), "sum": wide.sum(0), "sumsq": (wide**2).sum(0)}
    return {f"{SCALER}.{name}": value for name, value in parts.items()}


@pytest.fixture(scope="module", params=LIBRARY_DETECTORS)
def case(request: pytest.FixtureRequest) -> Case:
    detector = DETECTORS[request.param](WIDTH, {})
    x = normal_rows(600, 1)
    fresh = ModelState(initial_weights(detector.layout, 5), moments_of(x))
    plan = TrainingPlan(epochs=20, learning_rate=3e-3, batch_size=50, seed=1)
    trained = train(detector, fresh.weights, (x, np.full(len(x), np.nan, np.float32)), plan)
    weights = {name: fresh.weights[name] + delta for name, delta in trained.delta.items()}
    statistics = take_statistics(detector, ModelState(weights, {}).tensors(detector.layout)[0], x)
    assert trained.loss_after < trained.loss_before or not weights
    return Case(detector, fresh, ModelState(weights, fresh.moments, statistics))


def extreme_rows() -> NDArray[np.float32]:
    rng = np.random.default_rng(3)
    rows = [np.full(WIDTH, v) for v in (-CLIP, CLIP, 0.0, 1e-30, -1e-30)]
    rows += list(rng.choice([-CLIP, CLIP], (50, WIDTH)))
    return np.array(rows, np.float32)


# -- layout ----------------------------------------------------------------------------------------------


def test_the_layout_carries_exactly_the_weights_and_statistics(case: Case) -> None:
    layout = case.detector.layout
    check_arrays(layout.of_phase("weights"), case.fresh.weights)
    check_arrays(layout.of_phase("weights"), case.trained.weights)
    check_arrays(layout.of_phase("under_candidate"), case.trained.statistics)
    check_arrays(layout.of_phase("agreement"), case.trained.moments)
    arrays = {**case.trained.weights, **case.trained.moments}
    again = ModelState.from_arrays(layout, arrays, case.trained.statistics)
    assert again.weights.keys() == case.trained.weights.keys()


def test_the_layout_survives_json_and_differs_between_widths(case: Case) -> None:
    layout = case.detector.layout
    assert Layout.from_list(layout.to_list()).hash == layout.hash
    assert DETECTORS[case.detector.name](WIDTH + 1, {}).layout.hash != layout.hash


def test_layouts_and_first_weights_are_the_same_in_another_process_without_torch() -> None:
    code = f"""
import sys; sys.modules["torch"] = None
from streamgauge.detectors import DETECTORS
from streamgauge.layout import initial_weights
import hashlib
for name in {LIBRARY_DETECTORS!r}:
    layout = DETECTORS[name]({WIDTH}, {{}}).layout
    drawn = initial_weights(layout, 5)
    print(layout.hash, hashlib.sha256(b"".join(drawn[k].tobytes() for k in sorted(drawn))).hexdigest())
"""
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1
    lines = seen.pop().splitlines()
    assert [line.split()[0] for line in lines] == [DETECTORS[n](WIDTH, {}).layout.hash for n in LIBRARY_DETECTORS]


# -- scores ----------------------------------------------------------------------------------------------


def test_inputs_are_not_modified(case: Case) -> None:
    weights, statistics = case.trained.tensors(case.detector.layout)
    x = torch.from_numpy(normal_rows(50, 2))
    y = torch.full((50,), float("nan"))
    before = [t.clone() for t in (x, *weights.values(), *(p for pair in statistics.values() for p in pair))]
    trainable = {name: w.clone().requires_grad_(True) for name, w in weights.items()}
    case.detector.raw_score(weights, statistics, x)
    case.detector.attribute(weights, statistics, x)
    case.detector.observe(weights, x)
    loss = case.detector.loss(trainable, x, y, torch.Generator().manual_seed(0))
    if trainable:
        torch.autograd.backward(loss)
    after = [x, *weights.values(), *(p for pair in statistics.values() for p in pair)]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert bool(y.isnan().all())
    assert all(w.grad is not None and bool(w.grad.isfinite().all()) for w in trainable.values())


def test_training_modifies_neither_base_nor_rows_and_repeats_exactly(case: Case) -> None:
    x, y = normal_rows(100, 2), np.full(100, np.nan, np.float32)
    base = {name: array.copy() for name, array in case.fresh.weights.items()}
    state = torch.random.get_rng_state()
    plan = TrainingPlan(epochs=2, batch_size=32, seed=9)  # several batches: which rows come together is drawn
    first, second = (train(case.detector, base, (x, y), plan) for _ in range(2))
    other = train(case.detector, base, (x, y), TrainingPlan(epochs=2, batch_size=32, seed=10))
    assert torch.equal(state, torch.random.get_rng_state()), "the global generator was used"
    assert all(np.array_equal(base[name], array) for name, array in case.fresh.weights.items())
    assert np.array_equal(x, normal_rows(100, 2))
    assert all(first.delta[name].tobytes() == second.delta[name].tobytes() for name in base)
    assert any(not np.array_equal(first.delta[name], other.delta[name]) for name in base) or not base


def test_same_input_same_scores_whatever_stands_beside(case: Case) -> None:
    x = normal_rows(300, 4)
    together = case.scores(x)
    assert np.array_equal(together, case.scores(x))
    alone = np.concatenate([case.scores(x[i : i + 1]) for i in range(len(x))])
    np.testing.assert_allclose(alone, together, rtol=1e-5)


@pytest.mark.parametrize("which", ["fresh", "trained"])
def test_scores_of_extreme_rows_are_finite_and_not_negative(case: Case, which: str) -> None:
    scores = case.scores(extreme_rows(), getattr(case, which))
    assert scores.shape == (55,)
    assert np.isfinite(scores).all()
    assert (scores >= 0).all()


@examples(15)
@given(st.lists(st.lists(st.floats(-CLIP, CLIP, width=32), min_size=WIDTH, max_size=WIDTH), max_size=5))
def test_any_clipped_rows_have_a_score_and_an_explanation(case: Case, rows: list[list[float]]) -> None:
    x = np.array(rows, np.float32).reshape(-1, WIDTH)
    scores = case.scores(x)
    parts = case.detector.attribute(*case.trained.tensors(case.detector.layout), torch.from_numpy(x)).numpy()
    assert scores.shape == (len(x),)
    assert parts.shape == x.shape
    assert np.isfinite(scores).all()
    assert (scores >= 0).all()
    assert np.isfinite(parts).all()


def test_a_trained_detector_tells_corrupted_rows(case: Case) -> None:
    x = normal_rows(1000, 6)
    corrupted = corrupt(x, np.random.default_rng(8), GROUPS)
    assert auc(case.scores(x), case.scores(corrupted)) > 0.8


def test_an_untrained_autoencoder_still_sees_outliers() -> None:
    """Its error on rows far out is larger, because fresh weights reconstruct nothing; an mlp has no such bias."""
    detector = DETECTORS["autoencoder"](WIDTH, {})
    model = ModelState(initial_weights(detector.layout, 5), {})
    x = normal_rows(500, 6)
    corrupted = corrupt(x, np.random.default_rng(8), GROUPS, kinds=("spike",))
    assert (
        auc(
            score_rows(detector, *model.tensors(detector.layout), x),
            score_rows(detector, *model.tensors(detector.layout), corrupted),
        )
        > 0.7
    )


# -- explanations ----------------------------------------------------------------------------------------


def test_attributions_have_the_shape_of_the_rows_and_are_finite(case: Case) -> None:
    for x in (extreme_rows(), normal_rows(20, 3), np.zeros((0, WIDTH), np.float32)):
        parts = case.detector.attribute(*case.trained.tensors(case.detector.layout), torch.from_numpy(x)).numpy()
        assert parts.shape == x.shape
        assert np.isfinite(parts).all()


@pytest.mark.parametrize("with_statistics", [False, True])
@pytest.mark.parametrize("name", sorted(ADDITIVE))
def test_attributions_add_up_where_promised(name: str, with_statistics: bool) -> None:
    detector, x = DETECTORS[name](WIDTH, {}), extreme_rows()
    weights, _ = ModelState(initial_weights(detector.layout, 5), {}).tensors(detector.layout)
    taken = take_statistics(detector, weights, normal_rows(500, 1)) if with_statistics else {}
    statistics = statistics_tensors(detector.layout, taken)
    parts = detector.attribute(weights, statistics, torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(parts.sum(axis=1), score_rows(detector, weights, statistics, x), rtol=1e-5)


def test_a_spike_is_blamed_on_its_column(case: Case) -> None:
    x = normal_rows(200, 12)
    x[:, 4] += 6.0
    parts = case.detector.attribute(*case.trained.tensors(case.detector.layout), torch.from_numpy(x)).numpy()
    assert (np.argsort(-parts, axis=1)[:, :3] == 4).any(axis=1).mean() > 0.5


# -- odd batches -----------------------------------------------------------------------------------------

ODD: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {
    "one row": (normal_rows(1, 1), np.array([np.nan])),
    "one abnormal row": (normal_rows(1, 1), np.array([1.0])),
    "constant rows": (np.ones((64, WIDTH)), np.full(64, np.nan)),
    "all zero": (np.zeros((64, WIDTH)), np.full(64, np.nan)),
    "all abnormal": (normal_rows(64, 1), np.ones(64)),
    "all labelled normal": (normal_rows(64, 1), np.zeros(64)),
    "mixed": (normal_rows(64, 1), np.resize([0.0, 1.0, np.nan], 64)),
    "extreme": (extreme_rows(), np.full(55, np.nan)),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_batches_train_to_finite_weights(case: Case, name: str) -> None:
    x, y = (part.astype(np.float32) for part in ODD[name])
    trained = train(case.detector, case.fresh.weights, (x, y), TrainingPlan(epochs=3, batch_size=32))
    assert np.isfinite([trained.loss_before, trained.loss_after]).all()
    check_arrays(case.detector.layout.of_phase("weights"), trained.delta)


def test_few_rows_give_no_statistics(case: Case) -> None:
    """A mean of one record is that record."""
    weights, _ = case.trained.tensors(case.detector.layout)
    least = min((i.min_count for i in case.detector.layout.of_phase("under_candidate")), default=20)
    assert take_statistics(case.detector, weights, normal_rows(least - 1, 1)) == {}


# -- state -----------------------------------------------------------------------------------------------


def test_a_bundle_survives_its_bytes(case: Case) -> None:
    config: dict[str, Any] = {}
    info = BundleInfo(case.detector.name, config, "0" * 64, 3, None)
    bundle = Bundle(info, case.trained)
    values, arrays = load_tensors(dump_tensors(bundle.info.__dict__ | {"threshold": None}, bundle.to_arrays()))
    again = Bundle.from_parts(values, arrays)
    x = normal_rows(100, 3)
    assert np.array_equal(case.scores(x, again.model), case.scores(x))
    assert again.bundle_id == bundle.bundle_id
    assert again.to_bytes() == bundle.to_bytes()


# -- settings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LIBRARY_DETECTORS)
def test_unknown_settings_and_no_columns_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"no setting hiden.*known"):
        DETECTORS[name](3, {"hiden": 3})
    with pytest.raises(ConfigurationError, match="at least 1"):
        DETECTORS[name](0, {})


WRONG = [
    ("autoencoder", "hidden", 0),
    ("autoencoder", "hidden", "64"),
    ("autoencoder", "code", 1.5),
    ("autoencoder", "noise", -1),
    ("autoencoder", "noise", float("nan")),
    ("autoencoder", "floor", 0),
    ("lstm", "units", 0),
    ("lstm", "window", 1),
    ("lstm", "gap_s", float("nan")),
    ("lstm", "settle", -1),
    ("lstm", "ridge", 0),
    ("lstm", "span", 0),
    ("dynamic_pca", "span", 1),
    ("dynamic_pca", "ridge", 0.0),
    ("dynamic_pca", "gap_s", -1.0),
    ("contrastive", "embedding", 0),
    ("contrastive", "temperature", 0),
    ("contrastive", "changed_share", 1.0),
    ("contrastive", "corrupted_share", 0),
    ("contrastive", "class_weight", -1),
    ("pca", "ridge", 0.0),
    ("pca", "ridge", "all"),
    ("autoencoder_kmeans", "clusters", 0),
    ("autoencoder_kmeans", "reconstruction", -1),
    ("autoencoder_kmeans", "floor", 2),
    ("autoencoder_kmeans", "private", [1, 1]),
    ("autoencoder_kmeans", "private", [-1]),
    ("autoencoder_kmeans", "private", 1),
    ("autoencoder_kmeans", "matching", "twice"),
    ("mlp", "hidden", [8, 8]),
    ("mlp", "hidden", 8),
    ("mlp", "hidden", [8, 8, 0]),
    ("mlp", "dropout", 1.0),
    ("mlp", "corrupted_share", 0),
    ("mlp", "corrupted_share", None),
]


@pytest.mark.parametrize(("name", "setting", "value"), WRONG)
def test_a_wrong_hyper_parameter_is_refused_with_what_is_allowed(name: str, setting: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=rf"{setting}=.*: use "):
        DETECTORS[name](3, {setting: value})


def test_a_setting_read_from_json_gives_the_same_layout() -> None:
    assert DETECTORS["mlp"](4, {"hidden": [9, 8, 7]}).layout == DETECTORS["mlp"](4, {"hidden": (9, 8, 7)}).layout
