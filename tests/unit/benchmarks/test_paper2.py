"""Paper 2's table: nodes of unlike width, what is shared and what stays, and the figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality.paper2.central import Union, central, each_alone
from benchmarks.quality.paper2.ciciot import Parts, Records, grouped, parted
from benchmarks.quality.paper2.drift import agreement, draw, drift_run
from benchmarks.quality.paper2.explaining import explaining_run
from benchmarks.quality.paper2.learner import Effort, Way
from benchmarks.quality.paper2.learning import learn
from benchmarks.quality.paper2.nodes import Node
from benchmarks.quality.paper2.report import extra
from benchmarks.quality.paper2.runs import baseline_run, family_run, federated_run, scored, shared_run
from benchmarks.quality.result import result_of
from benchmarks.quality.runs import Run, run_row
from benchmarks.quality.table import TABLES, Context, Outcome
from streamgauge.features import FeatureSchema, NumericFeature
from streamgauge.profiles.loaders.table import NORMAL

QUICK = Effort(hidden=8, code=3, clusters=2, rounds=2, epochs=1, batch_size=16)
NAMES = tuple(f"f{i}" for i in range(12))
SCHEMA = FeatureSchema(tuple(NumericFeature(name, -10.0, 10.0) for name in NAMES))


@pytest.fixture(scope="module")
def nodes() -> tuple[Node, ...]:
    """Five nodes of 4 shared columns and one or two private ones; attacks are far off in all columns."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(900, len(NAMES))).astype(np.float32)
    x[600:] += 6.0
    families = np.array([NORMAL] * 600 + ["DoS"] * 150 + ["Recon"] * 150, object)
    return grouped(Records(x, families, SCHEMA), parted(families, 0), NAMES[:4], 0)


def test_nodes_share_the_first_columns_and_no_training_record(nodes: tuple[Node, ...]) -> None:
    assert {node.columns[:4] for node in nodes} == {NAMES[:4]}
    private = [name for node in nodes for name in node.columns[node.shared :]]
    assert sorted(private) == sorted(NAMES[4:])
    seen = np.concatenate([node.train[:, 0] for node in nodes] + [node.held[:, 0] for node in nodes])
    assert len(np.unique(seen)) == len(seen) == 420
    assert all(node.truth.sum() == 180 and (~node.truth).sum() == 180 for node in nodes)


def test_parts_take_as_many_of_every_family() -> None:
    families = np.array([NORMAL] * 100 + ["a"] * 50 + ["b"] * 50, object)
    parts = parted(families, 1)
    assert isinstance(parts, Parts)
    assert [int((families[parts.attacks] == kind).sum()) for kind in "ab"] == [15, 15]


def test_common_layers_are_the_same_after_a_merge_and_private_ones_are_not(nodes: tuple[Node, ...]) -> None:
    learned = learn(nodes, Way(), QUICK, 0)
    first, second = (learner.weights for learner in learned.learners[:2])
    assert np.array_equal(first["encoder.shared.weight"], second["encoder.shared.weight"])
    shapes = {learner.weights["encoder.private.weight"].shape[1] for learner in learned.learners}
    assert shapes == {1, 2}
    assert not np.array_equal(
        learned.learners[3].weights["encoder.private.weight"],
        learned.learners[4].weights["encoder.private.weight"],
    )
    assert learned.bytes_sent > 0


def test_alone_nothing_is_sent_and_models_differ(nodes: tuple[Node, ...]) -> None:
    learned = learn(nodes, Way(rule=None), QUICK, 0)
    first, second = (learner.weights["encoder.shared.weight"] for learner in learned.learners[:2])
    assert learned.bytes_sent == 0
    assert not np.array_equal(first, second)


def test_same_seed_same_scores(nodes: tuple[Node, ...]) -> None:
    once, again = (learn(nodes, Way("alignment"), QUICK, 3).learners[0] for _ in range(2))
    assert np.array_equal(once.scores(nodes[0].test), again.scores(nodes[0].test))


@pytest.mark.parametrize(
    "way", [Way(blend=0.5), Way(matching="none"), Way(matching="own"), Way(matching="one_shot")], ids=str
)
def test_every_way_finds_attacks_far_off(nodes: tuple[Node, ...], way: Way) -> None:
    figures = federated_run(nodes, way, QUICK, 0, curve=True).figures
    assert figures["auc"] > 0.9
    assert figures["always_alarm_f1"] == pytest.approx(2 / 3)


def test_matched_clusters_are_one_set_own_ones_are_not(nodes: tuple[Node, ...]) -> None:
    def centres(way: Way) -> list[np.ndarray]:
        return [learner.statistics["clusters.sum"] for learner in learn(nodes, way, QUICK, 0).learners]

    first, second, *_ = centres(Way())
    assert np.array_equal(first, second)
    first, second, *_ = centres(Way(matching="own"))
    assert not np.array_equal(first, second)


def test_a_node_without_shared_values_never_alarms_on_shared_features(nodes: tuple[Node, ...]) -> None:
    blind = {part: getattr(nodes[0], part).copy() for part in ("train", "held", "test")}
    for rows in blind.values():
        rows[:, :4] = np.nan
    outcome = shared_run([replace(nodes[0], **blind), *nodes[1:]], QUICK, 0)
    assert outcome.details["nodes"]["node-0"]["recall"] == 0.0
    assert outcome.details["nodes"]["node-1"]["auc"] > 0.9


def test_the_union_is_zero_with_a_mask_where_a_node_has_no_feature(nodes: tuple[Node, ...]) -> None:
    union = Union(nodes)
    rows = union.inputs(nodes[0], nodes[0].train)
    values, mask = rows[:, : len(NAMES)], rows[:, len(NAMES) :]
    assert union.width == 2 * len(NAMES)
    assert mask[0].sum() == len(nodes[0].columns)
    assert (values[mask == 0] == 0).all()


def test_central_and_simple_rows_find_attacks_far_off(nodes: tuple[Node, ...]) -> None:
    config = {"hidden": 8, "code": 3}
    assert scored(nodes, central(nodes, "autoencoder", config, QUICK, 0)).figures["auc"] > 0.9
    assert scored(nodes, each_alone(nodes, "zscore", {}, 0)).figures["auc"] > 0.9
    assert baseline_run(nodes, "kmeans", {}, 0).figures["auc"] > 0.9


def test_benign_nodes_count_false_alarms_only(nodes: tuple[Node, ...]) -> None:
    benign = nodes[4].tested_on(~nodes[4].truth)
    figures = federated_run((*nodes[:4], benign), Way(), QUICK, 0).figures
    assert 0.0 <= figures["benign_false_alarms"] < 0.5
    assert figures["auc"] > 0.9


def test_a_family_left_out_is_the_only_one_tested(nodes: tuple[Node, ...]) -> None:
    outcome = family_run(nodes, "Recon", QUICK, 0)
    assert outcome.figures["always_alarm_f1"] == pytest.approx(2 * 90 / (2 * 90 + 180))
    assert "recall_Recon" in outcome.figures
    assert "recall_DoS" not in outcome.figures
    assert "central_auc" in outcome.figures


def test_the_live_attribution_is_compared_with_kernel_shap(nodes: tuple[Node, ...]) -> None:
    pytest.importorskip("captum", reason="comes with the extra 'bench'")
    outcome = explaining_run(nodes[:1], QUICK, 0)
    assert -1.0 <= outcome.figures["spearman"] <= 1.0
    assert 0.0 <= outcome.figures["top"] <= 1.0
    assert np.shape(outcome.details["swarms"]["node-0"]["shap"]) == (10, len(nodes[0].columns))


def test_the_ranking_of_columns_is_followed_over_the_releases(nodes: tuple[Node, ...], tmp_path: Path) -> None:
    outcome = drift_run(nodes[:2], replace(QUICK, rounds=3), 0)
    assert len(outcome.details["steps"]) == len(outcome.details["to_last"]) == 2
    assert outcome.details["steps"][-1] == outcome.details["to_last"][-1] == outcome.figures["last"]
    assert all(-1 <= value <= 1 for value in outcome.details["steps"])
    draw([dict(outcome.details)] * 2, tmp_path / "drift.png")
    assert (tmp_path / "drift.png").stat().st_size > 1000


def test_rankings_agree_if_the_order_does() -> None:
    rising, falling = np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0])
    assert agreement([rising, rising], [10 * rising, falling]) == 0.0
    assert agreement([rising], [rising**3]) == pytest.approx(1.0)


def test_gains_and_what_is_better_than_the_federation_are_said(tmp_path: Path) -> None:
    table = TABLES["paper2"]()
    runs: dict[str, list[Run]] = {row.key: [] for row in table.rows}
    rows = {row.key: row for row in table.rows}

    def run(key: str, f1: float) -> None:
        made = replace(rows[key], run=lambda _: Outcome({"f1": f1, "always_alarm_f1": 0.6}, {"nodes": {}}))
        runs[key] = [run_row(made, Context(tmp_path, seed), "c") for seed in (0, 1)]

    run("ton", 0.66)
    run("ton-central", 0.60)
    run("ton-kmeans", 0.70)
    text = "\n".join(extra(result_of(table, runs, 2, {})))
    assert "| +6.00 | +10.0 % |" in text
    better = (
        "on F1 **better than the federation** (66.00): k-means, 16 centres, in the raw space, each node (70.00). "
    )
    assert f'{better}No difference shown: none. "Always alarm" (60.00): worse.' in text
