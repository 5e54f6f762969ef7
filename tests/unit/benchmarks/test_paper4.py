"""Paper 4's table: preparations, fits, classes, forecasters and page; the runs themselves are no tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.quality.paper4.classes import CLASSES, codes, recalls
from benchmarks.quality.paper4.data import NETWORKS, Drawn, Part, parts_of
from benchmarks.quality.paper4.fits import Score, central, cross_entropy, in_rounds
from benchmarks.quality.paper4.preparing import prepared
from benchmarks.quality.paper4.record import mahalanobis, padded, record_fit
from benchmarks.quality.paper4.report import PANELS, attempts, findings, plot
from benchmarks.quality.paper4.rows import GRID, recall_at, row
from benchmarks.quality.paper4.sensors import WINDOW, forecaster, scores_from
from benchmarks.quality.paper4.tuning import TRIALS
from benchmarks.quality.table import TABLES
from streamgauge.errors import DataError
from streamgauge.features import CategoricalFeature, FeatureSchema, NumericFeature
from tests.support.examples import examples

SCHEMA = FeatureSchema(
    (NumericFeature("bytes", 0, 1e6, transform="log1p"), NumericFeature("rate", 0, 1)),
    (CategoricalFeature("flag", ("a", "b")),),
)
QUICK = {"units": 8, "epochs": 6, "batch_size": 32, "learning_rate": 2e-2}


def records(n: int = 200, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    values = np.column_stack([generator.exponential(100.0, n), generator.random(n)])
    return SCHEMA.encode(values, generator.integers(0, 3, (n, 1)))


def part(n: int, seed: int) -> Part:
    """Abnormal where the first columns are high; the others are noise."""
    generator = np.random.default_rng(seed)
    y = (generator.random(n) < 0.4).astype(np.float32)
    x = generator.normal(size=(n, 14)).astype(np.float32)
    x[:, :6] += 3 * y[:, None]
    return Part(x, y, np.where(y == 1, "neptune", "normal").astype(object))


@pytest.fixture(scope="module")
def data() -> Drawn:
    return Drawn(part(300, 0), part(200, 1), part(100, 2), None)


def right(score: Score, rows: Part) -> float:
    return float(((score(rows.x) > 0) == (rows.y == 1)).mean())


@given(st.integers(0, 1000))
@examples(10)
def test_min_max_maps_training_rows_to_0_and_1_and_clipping_holds_all_rows_there(seed: int) -> None:
    train, later = records(seed=seed), records(seed=seed + 1)
    before = later.copy()
    plain = prepared("min-max", train, SCHEMA)(train)
    np.testing.assert_allclose([plain.min(axis=0), plain.max(axis=0)], [[0.0] * 5, [1.0] * 5], atol=1e-5)
    clipped = prepared("min-max-clipped", train, SCHEMA)
    assert clipped(later)[:, :2].min() >= -1e-6
    assert clipped(later)[:, :2].max() <= 1 + 1e-6
    np.testing.assert_array_equal(later, before)


def test_min_max_scales_raw_counts_not_their_logarithms() -> None:
    train = SCHEMA.encode(np.array([[0.0, 0.0], [1000.0, 1.0]]), np.zeros((2, 1), int))
    middle = SCHEMA.encode(np.array([[500.0, 0.5]]), np.zeros((1, 1), int))
    np.testing.assert_allclose(prepared("min-max", train, SCHEMA)(middle)[0, :2], [0.5, 0.5], rtol=1e-4)


def test_piecewise_code_rises_with_the_value_and_fills_bin_by_bin() -> None:
    train = records()
    apply, standardised = prepared("piecewise", train, SCHEMA), prepared("standardised", train, SCHEMA)
    out = apply(train)
    np.testing.assert_array_equal(out[:, :5], standardised(train))
    code = out[:, 5:]
    assert code.min() == -1.0
    assert code.max() == 1.0
    bins = code[np.argsort(train[:, 0])][:, :32]
    assert (np.diff(bins, axis=0) >= -1e-6).all()
    assert (np.diff(bins, axis=1) <= 1e-6).all()


def test_a_column_of_one_value_gets_no_bins() -> None:
    train = records()
    train[:, 1] = 0.5
    assert prepared("piecewise", train, SCHEMA)(train).shape == (200, 5 + 32)


def test_central_and_federated_networks_learn_and_draw_a_curve(data: Drawn) -> None:
    for clients in (1, 3):
        score, details = in_rounds("lstm_classifier", QUICK, clients)(data, 0)
        assert right(score, data.test) > 0.9
        assert [point["round"] for point in details["curve"]] == [1, 2, 3, 4, 5, 6]
        assert details["curve"][-1]["test_accuracy"] == pytest.approx(right(score, data.test))


def test_a_warm_start_begins_ahead_and_a_subset_of_clients_learns(data: Drawn) -> None:
    first = {"units": 8, "epochs": 1, "batch_size": 32, "learning_rate": 2e-2}
    cold, warm = (in_rounds("lstm_classifier", first, warm=w)(data, 0)[1]["curve"][0] for w in (False, True))
    assert warm["train_loss"] < cold["train_loss"]
    score, _ = in_rounds("lstm_classifier", {**QUICK, "epochs": 12, "batch_size": 16}, 3, 2)(data, 0)
    assert right(score, data.test) > 0.85


def test_the_line_of_a_baseline_without_labels_comes_from_held_out_normals(data: Drawn) -> None:
    score, _ = central("one_class_svm", {})(data, 0)
    normal = data.train.x[data.train.y == 0]
    held = normal[len(normal) * 4 // 5 :]
    assert (score(held) > 0).mean() == pytest.approx(0.05, abs=0.03)


def test_reading_a_record_without_labels_finds_what_is_off(data: Drawn) -> None:
    config = {"units": 8, "rounds": 3, "batch_size": 32, "learning_rate": 1e-2}
    score, _ = record_fit(config)(data, 0)
    scores = score(data.test.x)
    assert scores[data.test.y == 1].mean() > scores[data.test.y == 0].mean() + 1.0
    assert padded(data.test.x, 2).shape == (200, 24)


def test_mahalanobis_of_uncorrelated_errors_by_hand() -> None:
    held = np.array([[1.0, 2.0], [1.0, -2.0], [-1.0, 2.0], [-1.0, -2.0]], np.float32)
    found = mahalanobis(held)(np.array([[2.0, 0.0], [0.0, 2.0]], np.float32))
    np.testing.assert_allclose(found, [4 / 1.05 / 2, 4 / 4.05 / 2])


def test_a_forecaster_of_streams_scores_a_jump() -> None:
    generator = np.random.default_rng(0)
    t = np.arange(120)[:, None] + np.array([0.0, 2.0])
    waves = [(np.sin(t / 3) + 0.05 * generator.normal(size=t.shape)).astype(np.float32) for _ in range(2)]
    model = forecaster([[wave] for wave in waves], "federated", 0)
    later = waves[0].copy()
    later[100] += 6.0
    scores = scores_from(model, later, WINDOW - 1)
    assert len(scores) == 120 - WINDOW + 1
    assert scores.argmax() == 100 - WINDOW + 1


def test_classes_of_attacks_and_recalls_by_class() -> None:
    kinds = np.array(["normal", "neptune", "satan", "guess_passwd", "rootkit"], object)
    assert codes(kinds).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(DataError, match="no known class: heartbleed"):
        codes(np.array(["heartbleed"], object))
    rows = Part(np.zeros((5, 1), np.float32), np.zeros(5, np.float32), kinds)
    found = recalls(lambda x: np.array([0, 1, 1, 3, 3]), rows)
    assert found["accuracy"] == pytest.approx(0.6)
    assert found["mean_recall"] == pytest.approx(0.6)
    assert found["normal_share"] == pytest.approx(0.2)
    assert len(CLASSES) == 5


def test_recall_at_rates_and_cross_entropy() -> None:
    truth = np.array([False, True, False, True])
    assert recall_at(np.array([0.0, 3.0, 1.0, 2.0]), truth) == [1.0] * len(GRID)
    np.testing.assert_allclose(
        cross_entropy(np.array([0.0, 2.0]), np.array([True, False])).round(4), [0.6931, 2.1269]
    )


@given(st.integers(1, 6), st.integers(0, 99))
@examples(10)
def test_every_row_goes_to_one_client(clients: int, seed: int) -> None:
    rows = part(31, 0)
    found = parts_of(rows, clients, seed)
    assert sum(len(p.y) for p in found) == 31
    assert sorted(np.concatenate([p.x[:, 0] for p in found])) == sorted(rows.x[:, 0])


def result(tmp: float = 0.9) -> dict[str, Any]:
    point = {"train_loss": 0.1, "test_loss": 0.2, "train_accuracy": 0.9, "test_accuracy": 0.8}
    curve = [{"round": float(i), **point} for i in (1, 2)]
    roc = {"test": np.sqrt(GRID).tolist(), "headline": GRID.tolist()}
    means = {"federated-lstm": tmp, "federated-lstm-more": 0.96, "gradient_boosted_trees": 0.95}
    means |= {"gradient_boosted_trees-more": 0.962, "lstm-record": 0.7, "lstm_classifier": 0.85}

    def line(key: str, mean: float) -> dict[str, Any]:
        details = [{"curve": curve, "roc": roc}] * 2
        figures = {"accuracy": {"mean": mean, "std": 0.01, "values": [mean - 0.007, mean + 0.007]}}
        return {"key": key, "label": key, "seeds": [0, 1], "details": details, "figures": figures, "paper": {}}

    rows = [line(f"{key}-{name}", mean) for key in NETWORKS for name, mean in means.items()]
    column = {"figure": "accuracy", "title": "accuracy", "style": "percent"}
    rows.append(line("three-federated", 0.9))
    return {"table": "paper4", "sections": [{"title": "t", "rows": rows, "columns": [column]}]}


def test_the_page_says_what_is_better_and_whether_the_target_is_reached(tmp_path: Path) -> None:
    text = "\n".join(findings(result()))
    assert (
        "federated `lstm_classifier` 90.00; better on as many records: nsl-gradient_boosted_trees (95.00)" in text
    )
    assert "first attempt: 94.70; federated `lstm_classifier` 90.00, **not reached**" in text
    assert "on more records: 95.90; federated `lstm_classifier` 96.00, reached" in text
    assert "third attempt" in "".join(attempts(result()))
    assert "points behind the trees at each attempt: 5.00, 0.20. Federation itself costs -5.00" in text
    images = plot(result(), tmp_path / "paper4.png")
    assert images == ["paper4.png", *(f"paper4_figure_{number}.png" for number in "567")]
    assert all((tmp_path / image).stat().st_size > 5_000 for image in images)


def test_the_tables_are_whole() -> None:
    table, beside = TABLES["paper4"](), TABLES["paper4_beside"]()
    bounds = {target.bound for section in table.sections for target in section.targets}
    assert bounds == {0.982, 0.995, 0.978, 0.999}
    keys = {row.key for row in table.rows}
    assert {key for key, _ in PANELS} <= keys
    assert {"nsl-svm", "nsl-one_class_svm", "kdd99-federated-cnn", "unsw-lstm-record", "three-local"} <= keys
    others = {row.key for row in beside.rows}
    assert {
        "unsw-federated-lstm-more",
        "five-trees",
        "variants-min-max-clipped",
        "variants-warm",
        "skab-lstm-federated",
    } <= others
    assert len({str(trial) for trial in TRIALS}) == len(TRIALS)


def test_rows_of_another_section_do_not_take_the_papers_figures() -> None:
    fit = central("svm", {})
    assert row("nsl", "rnn", "", fit, {}).paper == {"accuracy": 0.9218}
    assert row("variants", "rnn", "", fit, {}, network="nsl").paper == {}
