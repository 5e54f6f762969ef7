"""Paper 1's table: nodes of both protocols, tuning, figures and page; measured runs are no tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.quality.paper1 import nodes
from benchmarks.quality.paper1.encoder import NAME
from benchmarks.quality.paper1.inputs import Stream, widened, windowed
from benchmarks.quality.paper1.nodes import NODES, Kind, Pools, Sizes, pools
from benchmarks.quality.paper1.report import RECALL, columns, percent, verdict
from benchmarks.quality.paper1.rules import MAIN, RULES, VARIANTS
from benchmarks.quality.paper1.run import FORMS, averaged, measured, validation_auc
from benchmarks.quality.paper1.sections import PUBLIC
from benchmarks.quality.table import TABLES, Outcome
from streamgauge.detectors import DETECTORS
from streamgauge.errors import ConfigurationError
from streamgauge.profiles.loaders.table import Table
from streamgauge.profiles.profile import load_profile
from streamgauge.simulation import Space, simulate

SMALL = Sizes((30, 10), (20, 8))


def stream(n: int, abnormal: slice) -> Table:
    """SKAB's columns in an order of time that is not the rows' order."""
    generator = np.random.default_rng(0)
    labels = np.zeros(n, np.float32)
    labels[abnormal] = generator.random(len(labels[abnormal])) < 0.4
    order = generator.permutation(n)
    names = [field.field for field in load_profile("skab").numeric]
    columns = {name: generator.random(n) for name in names}
    types = np.where(labels == 1, "valve1/3", "normal").astype(object)
    texts = np.full(n, "run", object)
    table = Table("skab", columns, labels, types, np.arange(n, dtype=np.float64), texts, texts)
    return table.take(order)


@pytest.fixture
def skab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder name under which the stream is found: cached by it, so one a test."""
    monkeypatch.setattr(nodes, "load", lambda name, data: stream(2_000, slice(600, None)))
    return tmp_path


def used(known: Pools) -> np.ndarray:
    return np.concatenate([*known.nodes, *known.tests])


@pytest.mark.parametrize("kind", ["strict", "random"])
def test_no_row_is_in_two_parts(skab: Path, kind: Kind) -> None:
    known = pools("skab", kind, skab)
    assert len(known.nodes) == NODES
    assert len(np.unique(used(known))) == len(used(known)) == 2_000
    assert set(known.types[known.y == 1]) == {"valve1"}
    drawn = known.clients(SMALL, 0)
    assert all((c.train.y == 1).sum() <= 10 and (c.train.y == 0).sum() == 30 for c in drawn)
    again = known.clients(SMALL, 0)
    assert all(np.array_equal(a.train.x, b.train.x) for a, b in zip(drawn, again, strict=True))


def test_strict_tests_on_later_rows_and_validates_on_later_ones_of_a_node(skab: Path) -> None:
    known = pools("skab", "strict", skab)
    (test,) = known.tests
    assert max(rows.max() for rows in known.nodes) < test.min()
    assert all(a.max() < b.min() for a, b in zip(known.nodes, known.nodes[1:], strict=False))
    assert (known.y[known.nodes[0]] == 0).all()


def test_one_class_only_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(nodes, "load", lambda name, data: stream(100, slice(0, 0)))
    with pytest.raises(ConfigurationError, match="100 normal and 0 abnormal"):
        pools("skab", "strict", tmp_path)


def test_every_rule_gets_as_many_trials_and_trains(skab: Path) -> None:
    assert {len(rule.trials) for rule in RULES.values()} == {4}
    known = pools("skab", "random", skab)
    clients = known.clients(SMALL, 0)
    for key in ("moon", "fedproto", "fedcac", "local"):
        rule = RULES[key]
        assert rule.detector == NAME
        done = simulate(rule.config(rule.trials[0], 1), clients, 0, space=known.space)
        assert not done.final.refused


def test_cross_entropy_is_on_the_same_batches_without_a_projection() -> None:
    detector, whole = DETECTORS[NAME](4, {}), DETECTORS["contrastive"](4, {})
    names = {item.name for item in detector.items()}
    assert names == {item.name for item in whole.items() if "projection" not in item.name}
    generator = torch.Generator().manual_seed(0)
    weights = {
        i.name: torch.randn(i.shape, generator=generator, requires_grad=True)
        for i in detector.layout.of_phase("weights")
    }
    x = torch.randn(8, 4, generator=generator)
    loss = detector.loss(weights, x, torch.tensor([0.0, 1.0] * 4), generator)
    torch.autograd.backward(loss)
    assert loss.item() > 0
    only = detector.loss(weights, x, torch.ones(8), generator)
    assert only.item() == 0


def test_figures_pool_nodes_with_their_own_tests_and_average_models_on_one(skab: Path) -> None:
    alone, later = pools("skab", "random", skab), pools("skab", "strict", skab)
    right = [np.where(alone.y[rows] == 1, 2.0, 0.5) for rows in alone.tests]
    assert measured(alone, right)["f1"] == measured(alone, right)["recall_valve1"] == 1.0
    truth = later.y[later.tests[0]] == 1
    halves = [np.where(truth, 2.0, 0.5), np.where(truth, 0.5, 2.0)]
    figures = measured(later, halves)
    assert figures["recall"] == figures["auc"] == figures["false_alarms"] == 0.5


def test_events_are_counted_where_a_stream_is_tested_in_order_of_time(skab: Path) -> None:
    later, alone = pools("skab", "strict", skab), pools("skab", "random", skab)
    truth = later.y[later.tests[0]] == 1
    perfect = measured(later, [np.where(truth, 2.0, 0.5)])
    assert perfect["event_recall"] == 1.0
    assert perfect["false_events_day"] == 0.0
    assert "event_recall" not in measured(alone, [np.zeros(len(rows)) for rows in alone.tests])


def test_trials_are_compared_on_labelled_attacks_and_on_corrupted_copies(skab: Path) -> None:
    known = pools("skab", "random", skab)
    clients = known.clients(SMALL, 0)
    rule = RULES["fedavg"]
    models = simulate(rule.config(rule.trials[0], 1), clients, 0, space=known.space).models
    blind = [replace(c, validation=c.validation.take(c.validation.y == 0)) for c in clients]
    both, copies = (validation_auc(models, part, FORMS[0], known.space) for part in (clients, blind))
    assert 0 < both < 1
    assert copies > both, "labels say nothing here, a corrupted copy is seen"


def test_data_sets_that_belong_together_are_averaged() -> None:
    both = averaged(
        {"a": Outcome({"auc": 0.5, "f1": 0.2}), "b": Outcome({"auc": 1.0, "f1": 0.4, "recall_x": 1.0})}
    )
    assert both.figures == pytest.approx({"auc": 0.75, "f1": 0.3, "recall_x": 1.0, "auc_a": 0.5, "auc_b": 1.0})


def test_windows_show_small_moves_and_stay_within_a_recording() -> None:
    """Two recordings at working points far apart; in the second one sensor moves by a hundredth of the gap."""
    x = np.concatenate([np.zeros((50, 2)), np.full((50, 2), 100.0)]).astype(np.float32)
    x[90:, 1] += 1.0
    sources = np.repeat(np.array(["a", "b"], object), 50)
    look = Stream(2, 40, (1.0, 60.0), "")
    wide = windowed(x, sources, look)
    assert wide.shape == (100, look.blocks * 2)
    assert not wide[:50].any()
    assert not wide[50:90, 4:].any(), "nothing of the first recording in the second"
    assert wide[91, 7] == pytest.approx(1 - 2 / 40)
    earlier = windowed(x[:95], sources[:95], look)
    assert np.array_equal(earlier, wide[:95]), "windows look back only"
    missing = x.copy()
    missing[95] = np.nan
    assert np.isfinite(windowed(missing, sources, look)[:, 2:]).all()
    space = widened(Space.plain(2), look)
    assert len(space.centre) == len(space.floor) == len(space.groups) == wide.shape[1]
    assert windowed(x, sources, Stream(2, None, (1.0, 60.0), "")).shape == (100, 6)


def test_the_page_says_who_wins_and_lists_types() -> None:
    def row(key: str, label: str, auc: float, f1: float) -> dict[str, object]:
        figures = {"auc": auc, "f1": f1, "always_alarm_f1": 0.6, "recall_dos": 0.25}
        spreads = {k: {"mean": v, "std": 0.0, "values": [v, v]} for k, v in figures.items()}
        return {"key": key, "label": label, "seeds": [0, 1], "figures": spreads}

    part = {
        "title": "SKAB",
        "rows": [
            row("a-contrastive", "Contrastive", 0.8, 0.5),
            row("a-trees", "Trees", 0.9, 0.7),
            row("a-moon", "MOON", 0.8, 0.4),
            row("a-pca", "PCA", 0.7, 0.4),
        ],
    }
    text = verdict(part)
    assert "best AUC 0.9000 (Trees)" in text
    assert "Better by AUC: Trees (0.9000). No difference shown: MOON (0.8000)." in text
    assert 'below that of "always alarm" (60.00)' in text
    assert "| Contrastive | 25.0 ± 0.0 |" in columns(part, RECALL, percent)
    assert verdict({"title": "x", "rows": []}) == ""


def test_the_tables_have_every_rule_under_both_protocols() -> None:
    keys = {row.key for name in ("paper1", "paper1_random") for row in TABLES[name]().rows}
    wanted = {f"{name}-{kind}-{key}" for name in PUBLIC for kind in ("strict", "random") for key in MAIN}
    assert wanted | {f"{name}-strict-{key}" for name in ("skab", "batadal") for key in VARIANTS} <= keys
