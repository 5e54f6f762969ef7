"""Paper 3's table: its principal components, losses and page; the measured runs themselves are no tests."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality.paper3.pca import projected
from benchmarks.quality.paper3.report import beaten, extra, plot
from benchmarks.quality.paper3.run import HALF, Effort, accuracy, log_loss, measured
from benchmarks.quality.paper3.tuning import TRIALS
from benchmarks.quality.table import TABLES
from streamgauge.simulation import Client, Examples, Space


def edges(width: int = 6, count: int = 2) -> list[Client]:
    generator = np.random.default_rng(0)
    mixing = generator.normal(size=(width, width))

    def part(n: int) -> Examples:
        y = (generator.random(n) < 0.4).astype(np.float32)
        x = generator.normal(size=(n, width)) @ mixing + 4 * y[:, None]
        return Examples(x.astype(np.float32), y)

    return [Client(f"Edge {i + 1}", part(80), part(40), part(40)) for i in range(count)]


def test_components_of_added_sums_are_those_of_all_rows() -> None:
    known = edges()
    found = projected(known, Space.plain(6), 6)
    rows = np.concatenate([edge.train.x for edge in found]).astype(np.float64)
    covariance = np.cov(rows.T, bias=True)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-3)
    assert (np.diff(np.diag(covariance)) <= 1e-6).all()
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-4)
    assert [p.test.x.shape for p in projected(known, Space.plain(6), 2)] == [(40, 2), (40, 2)]


def test_loss_and_accuracy_by_hand() -> None:
    p, y = np.array([0.5, 0.9, 0.2]), np.array([1.0, 1.0, 1.0])
    assert accuracy(p, y) == pytest.approx(2 / 3)
    assert log_loss(p, y) == pytest.approx(-np.log(p).mean())
    assert math.isfinite(log_loss(np.array([0.0, 1.0]), np.array([1.0, 0.0])))
    assert -math.expm1(-HALF) == pytest.approx(0.5)


def test_figures_are_means_over_edges_and_the_matrix_has_the_others() -> None:
    def always(x: np.ndarray) -> np.ndarray:
        return np.ones(len(x))

    figures = measured([always, always], [always, always], known := edges(), None)
    shares = [float(edge.test.y.mean()) for edge in known]
    assert figures["test_accuracy"] == pytest.approx(np.mean(shares))
    assert figures["others_accuracy"] == pytest.approx(np.mean(shares))
    assert figures["f1"] == pytest.approx(figures["always_alarm_f1"])
    assert figures["auc"] == 0.5


def test_the_settings_are_the_first_of_the_trials() -> None:
    assert TRIALS[0] == Effort()
    assert len(set(TRIALS)) == len(TRIALS)


def test_the_page_has_every_edge_both_matrices_and_the_figures(tmp_path: Path) -> None:
    six = {f"{p}_{w}": [0.9, 0.8] for w in ("accuracy", "loss") for p in ("train", "validation", "test")}
    point = {"train_loss": 0.1, "validation_loss": 0.2, "train_accuracy": 0.9, "validation_accuracy": 0.8}
    curves = [{"round": float(i), **point} for i in (1, 2)]
    details = [{"edges": six, "matrix": [[0.9, 0.8], [0.7, 0.6]], "curves": curves}] * 2
    column = {"figure": "test_accuracy", "title": "test accuracy", "style": "percent"}
    accuracy_of = {"fl": 0.98, "non-fl": 0.97, "tree": 0.99}
    rows: list[dict[str, object]] = [
        {
            "key": key,
            "label": key,
            "details": details,
            "figures": {"test_accuracy": {"mean": mean, "std": 0.01, "values": [mean - 0.007, mean + 0.007]}},
            "seeds": [0, 1],
            "paper": {},
        }
        for key, mean in accuracy_of.items()
    ]
    result = {"table": "paper3", "sections": [{"title": "t", "rows": rows, "columns": [column]}]}
    text = "\n".join(extra(result))
    text_beside = "".join(beaten(result))
    assert "better than the federated network (98.00): tree (99.00)." in text_beside
    assert text.count("| Edge 2 | 80.00 ± 0.00 |") == 2
    assert text.count("| Edge 2 | 70.00 ± 0.00 | 60.00 ± 0.00 |") == 2
    assert plot(result, tmp_path / "paper3.png") == ["paper3.png", "paper3_figures_5_6.png"]
    assert (tmp_path / "paper3_figures_5_6.png").stat().st_size > 5_000


def test_the_table_is_whole() -> None:
    table, beside, unlike = (TABLES[name]() for name in ("paper3", "paper3_beside", "paper3_unlike"))
    assert {target.bound for section in table.sections for target in section.targets} == {0.9792, 0.993}
    assert {"fl-30-120", "non-fl-6-1-3", "tree"} <= {r.key for r in beside.rows}
    assert {"fl-6-3-1", "fl-dirichlet", "decision-edge"} <= {r.key for r in unlike.rows}
