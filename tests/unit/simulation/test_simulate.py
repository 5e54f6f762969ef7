"""The simulation learns as the services do, the same for the same seed, and says what happened to every client."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from streamgauge.errors import ConfigurationError
from streamgauge.federation.merging import MergePolicy
from streamgauge.simulation import Client, Examples, Model, RoundResult, Space, simulate
from streamgauge.simulation.result import SimulationResult
from streamgauge.windows import windows
from tests.unit.simulation.kit import WIDTH, clients, config, examples


def numbers(result: SimulationResult) -> object:
    return [{k: v for k, v in r.items() if "seconds" not in k} for r in result.to_dict()["rounds"]]


@pytest.mark.parametrize("mode", ["federated", "local", "centralised"])
def test_the_same_seed_gives_the_same_result_and_inputs_stay(mode: str) -> None:
    nodes = clients()
    before = [node.train.x.copy() for node in nodes]
    first = simulate(config(mode=mode, stragglers=0.3), nodes, 7, common=examples(50, 99))
    second = simulate(config(mode=mode, stragglers=0.3), clients(), 7, common=examples(50, 99))
    assert numbers(first) == numbers(second)
    other = simulate(config(mode=mode), clients(), 8)
    assert other.final.loss_after != first.final.loss_after
    assert all((node.train.x == x).all() for node, x in zip(nodes, before, strict=True))


@pytest.mark.parametrize("mode", ["federated", "local", "centralised"])
@pytest.mark.parametrize(
    ("detector", "hyper"), [("mlp", {"hidden": (8, 8, 4)}), ("autoencoder", {"hidden": 8, "code": 1})]
)
def test_every_mode_learns_to_tell_them_apart(mode: str, detector: str, hyper: dict[str, object]) -> None:
    settings = {"detector": detector, "detector_config": hyper, "mode": mode, "rounds": 4, "epochs": 8}
    result = simulate(config(**settings, learning_rate=0.02), clients(), 0, common=examples(200, 99))
    assert result.final.common is not None
    assert result.final.common.auc > 0.95
    assert result.final.mean.f1 > result.final.mean.always_alarm_f1
    assert result.rounds[-1].loss_after < result.rounds[0].loss_before


def test_modes_start_alike_and_only_the_federation_merges() -> None:
    federated = simulate(config(), clients(), 0)
    local = simulate(config(mode="local"), clients(), 0)
    assert federated.bytes_sent > 0
    assert local.bytes_sent == 0
    same = {name: model.state.weights["layer.0.weight"] for name, model in federated.models.items()}
    own = {name: model.state.weights["layer.0.weight"] for name, model in local.models.items()}
    assert (same["c0"] == same["c1"]).all()
    assert not (own["c0"] == own["c1"]).all()
    assert set(federated.trained) == {"c0", "c1", "c2"}
    assert not (federated.trained["c0"].state.weights["layer.0.weight"] == same["c0"]).all()


def test_a_federation_of_one_is_local_learning() -> None:
    alone = {mode: simulate(config(mode=mode), clients(1), 3) for mode in ("federated", "local", "centralised")}
    metrics = [result.final.mean for result in alone.values()]
    assert metrics[1] == metrics[2]
    assert metrics[0].auc == pytest.approx(metrics[1].auc, abs=1e-3)
    assert metrics[0].loss == pytest.approx(metrics[1].loss, rel=1e-3)


def test_the_drawn_share_takes_part() -> None:
    result = simulate(config(participation=0.5, rounds=6), clients(4), 0)
    assert {len(r.drawn) for r in result.rounds} == {2}
    assert len({r.drawn for r in result.rounds}) > 1


def test_late_updates_are_lost_or_merged_a_round_later() -> None:
    late = config(stragglers=0.999, rounds=2)
    missed = simulate(late, clients(), 0)
    assert [r.released for r in missed.rounds] == [False, False]
    assert missed.rounds[0].reason == "0 updates; 2 are needed"
    assert set(missed.rounds[0].late) == {"c0", "c1", "c2"}
    stale = simulate(replace(late, late="stale"), clients(), 0)
    assert [r.released for r in stale.rounds] == [False, True]
    assert stale.rounds[1].late == ()


def test_nan_is_refused_with_its_reason_and_the_rest_goes_on() -> None:
    result = simulate(config(hostile=1, attack="nan"), clients(), 0)
    assert result.hostile == ("c2",)
    assert "not finite" in result.final.refused["c2"]
    assert result.final.released


@pytest.mark.parametrize("attack", ["sign_flip", "scaled", "label_flip"])
def test_a_robust_rule_withstands_what_the_mean_does_not(attack: str) -> None:
    settings = {"hostile": 1, "attack": attack, "attack_scale": 30.0, "rounds": 6, "learning_rate": 0.01}
    robust = config(**settings, merge=MergePolicy(rule="median", norm_bound=1e4))
    plain = config(**settings, merge=MergePolicy(norm_bound=1e4))
    common = examples(200, 99)
    with_median, with_mean = (simulate(c, clients(4), 0, common=common).final.common for c in (robust, plain))
    assert with_median is not None
    assert with_mean is not None
    assert with_median.auc > 0.95
    assert with_median.loss < with_mean.loss


def test_a_vote_keeps_a_ruined_candidate_from_being_released() -> None:
    settings = {"detector": "autoencoder", "detector_config": {}, "hostile": 1, "attack_scale": 1000.0}
    wild = config(**settings, vote=True, rounds=4, merge=MergePolicy(norm_bound=1e6))
    result = simulate(wild, clients(), 0)
    assert any("approve" in r.reason for r in result.rounds)
    assert not all(r.released for r in result.rounds)


@pytest.mark.parametrize("keep", ["loss", "accuracy"])
def test_the_round_that_is_best_on_validation_rows_is_kept(keep: str) -> None:
    result = simulate(config(keep=keep, rounds=5, learning_rate=0.3), clients(), 0)
    worth = [-r.validation_loss if keep == "loss" else r.validation_accuracy for r in result.rounds]
    assert result.chosen == 1 + int(np.argmax(worth))
    assert result.final is result.rounds[result.chosen - 1]


def test_it_stops_when_the_loss_stands_still() -> None:
    assert len(simulate(config(rounds=9, stop_change=1e9), clients(), 0).rounds) == 2


def test_the_watch_sees_every_round_and_models_that_score() -> None:
    seen: list[RoundResult] = []

    def watch(result: RoundResult, models: object) -> None:
        assert isinstance(models, dict)
        assert all(isinstance(model, Model) for model in models.values())
        seen.append(result)

    result = simulate(config(), clients(), 0, watch=watch)
    assert tuple(seen) == result.rounds
    assert result.models["c0"].scores(examples(9, 0).x).shape == (9,)


def test_the_json_has_no_numbers_that_json_lacks() -> None:
    unlabelled = [replace(c, test=Examples(c.test.x, np.full(len(c.test), np.nan, np.float32))) for c in clients()]
    result = simulate(config(), unlabelled, 0)
    assert math.isnan(result.final.mean.auc)
    text = json.dumps(result.to_dict(), allow_nan=False)
    assert json.loads(text)["rounds"][1]["clients"]["c0"]["auc"] is None


def test_means_of_f1_and_always_alarm_are_over_the_same_clients() -> None:
    nodes = clients()
    calm = replace(nodes[0], test=nodes[0].test.take(np.flatnonzero(nodes[0].test.y == 0)))
    final = simulate(config(), [calm, *nodes[1:]], 0).final
    assert math.isnan(final.clients[calm.name].f1)
    assert math.isnan(final.clients[calm.name].always_alarm_f1)
    others = [final.clients[node.name].always_alarm_f1 for node in nodes[1:]]
    assert final.mean.always_alarm_f1 == pytest.approx(np.mean(others))


def test_masked_cells_constant_columns_and_an_empty_test_are_fine() -> None:
    nodes = []
    for node in clients():
        x = node.train.x.copy()
        x[::2, 0], x[:, 1] = np.nan, 4.0
        empty = Examples(np.zeros((0, WIDTH), np.float32), np.zeros(0, np.float32))
        nodes.append(replace(node, train=Examples(x, node.train.y), test=empty))
    result = simulate(config(), nodes, 0)
    assert math.isfinite(result.final.loss_after)
    assert result.final.mean.rows == 0


def test_clients_that_cannot_take_part_are_named() -> None:
    few = clients()[0]
    none = few.train.take(np.zeros(0, np.int64))
    for wrong, words in [
        ([], "0 clients"),
        ([few, few], "2 clients with 1 names"),
        ([few, replace(few, name="odd", train=none)], "'odd' has 0 rows"),
        ([few, replace(few, name="odd", test=examples(5, 0, width=3))], "'odd' has rows of"),
        ([Client("tiny", few.train.take(np.arange(5)), few.validation, few.test)], "20 training rows"),
    ]:
        with pytest.raises(ConfigurationError, match=words):
            simulate(config(), wrong, 0)
    with pytest.raises(ConfigurationError, match="infinite"):
        Examples(np.full((1, 2), np.inf, np.float32), np.zeros(1, np.float32))
    with pytest.raises(ConfigurationError, match="labels must be"):
        Examples(np.zeros((1, 2), np.float32), np.full(1, 2, np.float32))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("rounds", 0),
        ("epochs", 1.5),
        ("batch_size", True),
        ("learning_rate", 0.0),
        ("participation", 0.0),
        ("participation", 1.1),
        ("stragglers", 1.0),
        ("stragglers", -0.1),
        ("hostile", -1),
        ("false_alarm_rate", math.nan),
        ("stop_change", -1.0),
        ("mode", "both"),
        ("late", "early"),
        ("keep", "first"),
        ("attack", "magic"),
        ("threshold", "fixed"),
        ("fixed_threshold", 1.0),
    ],
)
def test_settings_that_mean_nothing_are_refused(setting: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=setting):
        config(**{setting: value})


def test_seeds_and_hostile_counts_are_checked() -> None:
    with pytest.raises(ConfigurationError, match="seed=-1"):
        simulate(config(), clients(), -1)
    with pytest.raises(ConfigurationError, match="hostile=3 of 3"):
        simulate(config(hostile=3), clients(), 0)


@pytest.mark.parametrize("terms", [{"proximal": {"mu": 1.0}}, {"moon": {}}, {"fedproto": {}}, {"fedcac": {}}])
def test_client_terms_change_what_is_learned_and_repeat(terms: dict[str, dict[str, float]]) -> None:
    settings = config(
        detector="mlp", detector_config={"hidden": (8, 8, 4)}, rounds=2, epochs=2, learning_rate=0.02
    )
    plain = simulate(settings, clients(), 0)
    first, second = (simulate(replace(settings, terms=terms), clients(), 0) for _ in range(2))
    assert numbers(first) == numbers(second) != numbers(plain)
    assert first.bytes_sent > 0
    personal = "fedproto" in terms or "fedcac" in terms
    weights = [model.state.weights["layer.0.weight"] for model in first.models.values()]
    assert (weights[0] == weights[1]).all() != personal
    alone = replace(settings, mode="local")
    assert numbers(simulate(replace(alone, terms=terms), clients(), 0)) == numbers(simulate(alone, clients(), 0))


def test_fedproto_sends_far_less_than_weights_and_learns() -> None:
    settings = config(
        detector="mlp", detector_config={"hidden": (8, 8, 4)}, rounds=4, epochs=8, learning_rate=0.02
    )
    personal = simulate(replace(settings, terms={"fedproto": {}}), clients(), 0)
    assert personal.final.mean.auc > 0.95
    assert personal.rounds[1].bytes_up < simulate(settings, clients(), 0).rounds[1].bytes_up / 4


@pytest.mark.parametrize("terms", [{"fedproto": {}, "fedcac": {}}, {"fedcac": {"share": 2}}, {"no_such": {}}])
def test_terms_that_cannot_be_are_named(terms: dict[str, dict[str, float]]) -> None:
    with pytest.raises(ConfigurationError, match=r"choose one|share=2 must|unknown client term"):
        simulate(config(detector="mlp", terms=terms), clients(), 0)
    with pytest.raises(ConfigurationError, match="hostile, stragglers and vote are not simulated with fedproto"):
        simulate(config(detector="mlp", terms={"fedproto": {}}, hostile=1), clients(), 0)


@pytest.mark.parametrize(
    "merge", [MergePolicy(rule="alignment"), MergePolicy(optimizer="momentum"), MergePolicy(optimizer="fedyogi")]
)
def test_weights_and_optimisers_of_the_server_take_part(merge: MergePolicy) -> None:
    plain = simulate(config(rounds=3), clients(), 0)
    first, second = (simulate(config(rounds=3, merge=merge), clients(), 0) for _ in range(2))
    assert numbers(first) == numbers(second) != numbers(plain)


def test_fedbuff_discounts_what_comes_a_round_later() -> None:
    late = config(stragglers=0.4, rounds=4, late="stale")
    averaged = simulate(late, clients(), 0)
    assert any(r.late for r in averaged.rounds[:-1])
    assert numbers(simulate(replace(late, merge=MergePolicy(rule="fedbuff")), clients(), 0)) != numbers(averaged)


def test_a_sequence_detector_takes_windows() -> None:
    nodes = []
    for node in clients(2, 80):
        parts = [Examples(windows(p.x, 4), p.y[3:]) for p in (node.train, node.validation, node.test)]
        nodes.append(Client(node.name, *parts))
    settings = config(detector="lstm", detector_config={"units": 4, "window": 4})
    result = simulate(settings, nodes, 0, space=Space.plain(WIDTH))
    assert result.final.mean.auc > 0.6
    by_fbeta = simulate(replace(settings, threshold="fbeta"), nodes, 0, space=Space.plain(WIDTH))
    assert by_fbeta.final.mean.f1 > by_fbeta.final.mean.always_alarm_f1
    with pytest.raises(ConfigurationError, match=r"rows of \[20\] columns, the encoding 6"):
        simulate(settings, nodes, 0, space=Space.plain(6))
