"""The aggregator on an in-memory log and SQLite: whole rounds with scripted nodes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from schemas import RoundCandidate, RoundPlan
from services.aggregator.build import MIGRATIONS
from services.aggregator.tables import ARTEFACTS, LATE_UPDATES, METADATA, OPTIMIZER_STATES
from services.runtime.database import open_database
from services.runtime.log import Partition
from streamgauge.federation.rules_base import RULES
from streamgauge.layout import Item, Layout, initial_weights
from tests.integration.aggregator_world import LAYOUT, SCHEMA, TOPICS, World

NAMES = ("a/1", "b/1", "c/1")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, NAMES)
    yield world
    world.close()


def test_round_0_then_training_rounds_are_released(world: World) -> None:
    world.until(lambda: len(world.releases) == 3)
    first, second, third = world.releases
    assert [r.release_seq for r in world.releases] == [1, 2, 3]
    assert first.statistics is None
    assert [release.round_kind for release in world.releases] == ["agreement", "training", "training"]
    assert (first.version, second.version) == ("1.1", "1.2")
    assert first.participants == NAMES
    assert second.metrics["auc_candidate"] == pytest.approx(0.9)
    _, agreed = world.artefact(first.weights.offset, first.weights.sha256)
    np.testing.assert_array_equal(agreed["w"], initial_weights(LAYOUT, world.settings.seed)["w"])
    np.testing.assert_allclose(agreed["scaler.n"], 300)
    header, weights = world.artefact(second.weights.offset, second.weights.sha256)
    assert (header.content, header.schema_hash) == ("weights", SCHEMA)
    deltas = [node.arrays(node.plans[second.round])["w"].astype(np.float64) for node in world.nodes]
    np.testing.assert_allclose(weights["w"], agreed["w"] + np.mean(deltas, axis=0), rtol=1e-6)
    np.testing.assert_array_equal(weights["scaler.sum"], agreed["scaler.sum"])
    assert second.statistics is not None
    _, statistics = world.artefact(second.statistics.offset, second.statistics.sha256)
    np.testing.assert_allclose(statistics["error.n"], 150)
    assert third.previous_release_seq == 2
    assert [closed.outcome for closed in world.closed] == ["released"] * 3
    plans = world.said(RoundPlan, TOPICS.rounds)
    assert plans[1].base_sha256 == first.weights.sha256
    assert world.refusals() == {}


@pytest.mark.parametrize("rule", list(RULES))
def test_every_rule_merges_a_live_round(tmp_path: Path, rule: str) -> None:
    names = ("a/1", "b/1", "c/1", "d/1", "e/1")
    known = {"accuracy": 0, "distribution": 0} if rule == "alignment" else {}
    world = World(tmp_path, names, rule=rule, rule_config=known, norm_bound=10.0)
    world.until(lambda: len(world.releases) == 2)
    first, second = world.releases
    plan = world.nodes[0].plans[second.round]
    assert plan.rule == rule
    _, base = world.artefact(first.weights.offset, first.weights.sha256)
    _, weights = world.artefact(second.weights.offset, second.weights.sha256)
    deltas = np.stack([node.arrays(plan)["w"].astype(np.float64).ravel() for node in world.nodes])
    whole = np.column_stack([deltas, [float(node.arrays(plan)["b"]) for node in world.nodes]])
    merged = RULES[rule](whole, np.full(5, 100.0), known)
    np.testing.assert_allclose(weights["w"].ravel(), base["w"].ravel() + merged[:-1], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(weights["b"], base["b"] + merged[-1], rtol=1e-5, atol=1e-7)
    world.close()


def test_training_rounds_keep_their_interval(world: World) -> None:
    world.until(lambda: len(world.releases) == 4)
    opened = [p.opened_at for p in world.said(RoundPlan, TOPICS.rounds) if p.kind == "training"]
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(opened)]
    assert min(gaps) >= world.settings.round_interval_s


def test_a_silent_node_costs_a_deadline_not_the_round(world: World) -> None:
    world.until(lambda: len(world.releases) == 1)
    world.nodes[2].answers = False
    world.nodes[2].votes = False
    world.until(lambda: len(world.releases) == 2, seconds=15)
    closed = world.closed[-1]
    assert set(closed.accepted) == {"a/1", "b/1"}
    assert closed.votes == {"a": True, "b": True}


def test_too_few_updates_abandon_and_the_next_round_opens(world: World) -> None:
    world.until(lambda: len(world.releases) == 1)
    for node in world.nodes[1:]:
        node.answers = False
    world.until(lambda: len(world.closed) == 2, seconds=15)
    assert world.closed[-1].outcome == "abandoned"
    assert world.closed[-1].reason == "1 of 3 updates on time; 2 are needed"
    for node in world.nodes:
        node.answers = True
    world.until(lambda: len(world.releases) == 2)


def test_late_updates_are_refused_and_told(world: World) -> None:
    world.until(lambda: len(world.releases) == 1)
    late = world.nodes[2]
    late.answers = late.votes = False
    world.until(lambda: bool(late.candidates), seconds=15)
    late.send_update(late.plans[1])
    world.turn()
    late.send_vote(late.candidates[1])
    world.until(lambda: len(world.releases) == 2 and 1 in late.closed)
    assert world.refusals() == {"late": 1}
    assert late.closed[1].refused["c/1"].startswith("late")


def test_fedbuff_counts_a_late_update_in_the_next_round_also_after_a_restart(tmp_path: Path) -> None:
    world = World(tmp_path, NAMES, rule="fedbuff", norm_bound=10.0)
    world.until(lambda: len(world.releases) == 1)
    slow = world.nodes[2]
    slow.answers = False
    world.until(lambda: bool(slow.candidates), seconds=15)
    slow.send_update(slow.plans[1])
    world.until(lambda: len(world.releases) == 2)
    slow.send_update(slow.plans[1])  # again, as after a restart of its own
    world.turn()
    world.start()
    world.until(lambda: len(world.releases) == 3, seconds=15)

    assert world.refusals() == {"wrong-round": 1}
    assert world.metrics.late._value.get() == 1
    base, merged = (world.artefact(r.weights.offset, r.weights.sha256)[1] for r in world.releases[1:])
    plans = [slow.plans[number] for number in (2, 2, 1)]
    deltas = [node.arrays(plan)["w"].astype(np.float64) for node, plan in zip(world.nodes, plans, strict=True)]
    shares = np.array([1.0, 1.0, 2**-0.5]) / (2 + 2**-0.5)  # one release behind
    np.testing.assert_allclose(merged["w"], base["w"] + np.tensordot(shares, deltas, 1), rtol=1e-5)
    with world.database.read() as connection:
        assert connection.execute(LATE_UPDATES.select()).all() == []
    world.close()


def test_a_late_update_is_checked_against_its_own_round(tmp_path: Path) -> None:
    world = World(tmp_path, NAMES, rule="fedbuff")
    world.until(lambda: len(world.releases) == 1)
    slow = world.nodes[2]
    slow.answers = False
    world.until(lambda: len(world.releases) == 2, seconds=15)
    slow.send_update(slow.plans[1], base_release_seq=2)
    slow.send_update(slow.plans[1], {**slow.arrays(slow.plans[1]), "b": np.array(np.nan, np.float32)})
    slow.send_update(slow.plans[1], round=0)
    world.until(lambda: len(world.releases) == 3, seconds=15)
    assert world.refusals() == {"wrong-base": 1, "not-finite": 1, "wrong-round": 1}
    world.close()


def test_a_vetoed_candidate_is_not_released_and_the_step_is_halved(world: World) -> None:
    world.until(lambda: len(world.releases) == 1)
    for node in world.nodes:
        node.approve = False
    world.until(lambda: len(world.closed) == 4)
    assert [closed.outcome for closed in world.closed[1:]] == ["rejected"] * 3
    assert world.closed[-1].votes == {"a": False, "b": False, "c": False}
    assert len(world.releases) == 1
    for node in world.nodes:
        node.approve = True
    world.until(lambda: len(world.releases) == 2)
    release = world.releases[-1]
    _, base = world.artefact(world.releases[0].weights.offset, world.releases[0].weights.sha256)
    _, weights = world.artefact(release.weights.offset, release.weights.sha256)
    deltas = [node.arrays(node.plans[release.round])["w"].astype(np.float64) for node in world.nodes]
    np.testing.assert_allclose(weights["w"], base["w"] + 0.5 * np.mean(deltas, axis=0), rtol=1e-5)


def test_another_layout_of_the_majority_is_a_new_lineage(world: World) -> None:
    world.until(lambda: len(world.releases) == 2)
    wider = Layout((*LAYOUT.items, Item("v", (2,), "mean", "weights")))
    for node in world.nodes:
        node.layout = wider
    world.until(lambda: len(world.releases) == 3, seconds=15)
    release = world.releases[-1]
    assert (release.lineage, release.version, release.layout_hash) == (2, "2.3", wider.hash)
    assert release.statistics is None
    assert world.said(RoundPlan, TOPICS.rounds)[-1].kind == "agreement"


def test_nodes_with_another_detector_or_an_older_release_take_no_part(tmp_path: Path) -> None:
    world = World(tmp_path, NAMES, min_nodes=2)
    world.nodes[2].detector = "mlp"
    world.until(lambda: len(world.releases) == 2)
    assert world.releases[0].participants == ("a/1", "b/1")
    world.close()


def test_the_topic_of_updates_deleted_and_made_again_holds_nobody_up(world: World) -> None:
    world.until(lambda: len(world.releases) == 1)
    for node in world.nodes:
        node.answers = False
    world.until(lambda: bool(world.nodes[0].plans.get(1)))
    world.broker.delete_topic(TOPICS.updates)
    world.broker.create_topic(TOPICS.updates, 2, 1 << 24)
    world.turn()
    world.start()
    for node in world.nodes:
        node.answers = True
        node.send_update(node.plans[1])
    world.until(lambda: len(world.releases) == 2)


def test_only_the_newest_models_are_kept(tmp_path: Path) -> None:
    world = World(tmp_path, NAMES, keep_models=2)
    world.until(lambda: len(world.releases) == 4)
    needed = {ref.sha256 for r in world.releases[-2:] for ref in (r.weights, r.statistics) if ref is not None}
    tombs = {r.key.decode() for r in world.broker.records(TOPICS.models) if r.value is None and r.key is not None}
    gone = {ref.sha256 for r in world.releases[:2] for ref in (r.weights, r.statistics) if ref is not None}
    assert tombs == {f"plant/{name}" for name in gone}
    with world.database.read() as connection:
        assert set(connection.scalars(ARTEFACTS.select().with_only_columns(ARTEFACTS.c.sha256))) == needed
    world.close()


def test_a_restart_in_mid_round_collects_the_same(world: World) -> None:
    world.until(lambda: len(world.releases) == 1)
    world.nodes[2].answers = False
    world.until(lambda: 1 in world.nodes[2].plans)
    world.turn()
    world.start()
    assert world.metrics.messages.labels(TOPICS.updates)._value.get() == 5
    world.nodes[2].votes = False
    world.nodes[2].send_update(world.nodes[2].plans[1])
    world.until(lambda: bool(world.nodes[2].candidates))
    candidate = world.said(RoundCandidate, TOPICS.rounds)[-1]
    assert set(candidate.accepted) == set(NAMES)
    world.turn()
    world.start()
    world.nodes[2].send_vote(candidate)
    world.until(lambda: len(world.releases) == 2)
    assert world.closed[-1].votes == {"a": True, "b": True, "c": True}


def test_marks_stand_in_every_partition(world: World) -> None:
    for node in world.nodes:
        node.answers = False
    world.until(lambda: len(world.closed) == 1, seconds=15)
    consumer = world.broker.consumer()
    assert [consumer.end(Partition(TOPICS.updates, number)) for number in (0, 1)] == [1, 1]


def test_a_lost_database_goes_on_above_what_was_released(world: World, tmp_path: Path) -> None:
    world.until(lambda: len(world.releases) == 3)
    rounds = {plan.round for plan in world.said(RoundPlan, TOPICS.rounds)}
    world.database.close()
    world.settings = world.settings.model_copy(update={"database_url": f"sqlite:///{tmp_path / 'new.sqlite'}"})
    world.database = open_database(world.settings.url, MIGRATIONS)
    world.now -= 86_400  # and the clock was set back: nodes ignore what seems to come from an earlier process
    world.start()
    world.until(lambda: len(world.releases) == 5)
    said = [int(dict(record.headers)["sg_incarnation"]) for record in world.broker.records(TOPICS.rounds)]
    assert said == sorted(said)
    assert said[0] < said[-1]
    assert [release.release_seq for release in world.releases] == [1, 2, 3, 4, 5]
    assert [release.lineage for release in world.releases] == [1, 1, 1, 2, 2]
    assert world.said(RoundPlan, TOPICS.rounds)[-1].round == max(rounds) + 2


def test_the_tables_are_those_of_the_migrations(world: World) -> None:
    with world.database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def _moves(world: World) -> list[float]:
    """How far each training release moved `b` from its base."""
    arrays = [world.artefact(r.weights.offset, r.weights.sha256)[1]["b"] for r in world.releases]
    return [float(after - before) for before, after in pairwise(arrays)]


def _asked(world: World, releases: int) -> list[float]:
    """The mean delta of `b` that the nodes sent for each training release."""
    rounds = [r.round for r in world.releases[1:releases]]
    return [float(np.mean([node.arrays(node.plans[n])["b"] for node in world.nodes])) for n in rounds]


def test_the_optimiser_s_state_survives_a_restart_between_merge_and_release(tmp_path: Path) -> None:
    world = World(tmp_path, NAMES, optimizer="momentum", optimizer_config={"beta": 0.5}, norm_bound=10.0)
    world.until(lambda: len(world.releases) == 2)
    world.nodes[2].votes = False
    world.until(lambda: len(world.said(RoundCandidate, TOPICS.rounds)) == 2)
    world.start()
    world.nodes[2].votes = True
    world.nodes[2].send_vote(world.said(RoundCandidate, TOPICS.rounds)[-1])
    world.until(lambda: len(world.releases) == 4)
    expected, speed = [], 0.0
    for delta in _asked(world, 4):
        speed = 0.5 * speed + delta
        expected.append(speed)
    np.testing.assert_allclose(_moves(world)[:3], expected, rtol=1e-4, atol=1e-7)
    world.close()


def test_vetoed_candidates_leave_the_optimiser_alone_and_many_reset_it(tmp_path: Path) -> None:
    momentum = {"beta": 0.5}
    world = World(
        tmp_path, NAMES, optimizer="momentum", optimizer_config=momentum, norm_bound=10.0, max_rejections=2
    )
    world.until(lambda: len(world.releases) == 2)
    for node in world.nodes:
        node.approve = False
    world.until(lambda: [c.outcome for c in world.closed].count("rejected") == 1)
    with world.database.read() as connection:
        assert len(connection.execute(OPTIMIZER_STATES.select()).all()) == 1, (
            "of the release, not of the candidate"
        )
    world.until(lambda: [c.outcome for c in world.closed].count("rejected") == 2)
    with world.database.read() as connection:
        assert connection.execute(OPTIMIZER_STATES.select()).all() == []
    for node in world.nodes:
        node.approve = True
    world.until(lambda: len(world.releases) == 3)
    (_, asked), (_, moved) = _asked(world, 3), _moves(world)[:2]
    assert moved == pytest.approx(0.5 * asked, rel=1e-4, abs=1e-7), "half a step, without the old speed"
    world.close()


def test_partitions_that_are_added_while_it_runs_are_read_without_a_restart(world: World) -> None:
    world.until(lambda: len(world.releases) == 2)
    for topic in (TOPICS.updates, TOPICS.votes):
        world.broker.add_partitions(topic, 5)
    sent = len(world.broker.records(TOPICS.updates))

    def last_two_rounds_were_whole() -> bool:
        # The first after the growth waits in vain for the nodes whose keys fall into new partitions.
        whole = [release.participants == NAMES for release in world.releases[-2:]]
        return all(whole) and len(world.broker.records(TOPICS.updates)) > sent + 15

    world.until(last_two_rounds_were_whole, seconds=10.0, turns=500)
    world.nodes[0].answers = False
    closed = len(world.closed)
    world.until(lambda: len(world.closed) == closed + 2, seconds=10.0)
    senders: dict[str, set[int]] = {"aggregator": set(), "nodes": set()}  # partitions of each
    for record in world.broker.records(TOPICS.updates):
        who = "aggregator" if dict(record.headers)["sg_sender"] == b"aggregator" else "nodes"
        senders[who].add(record.partition)
    assert senders["nodes"] & {2, 3, 4}
    assert senders["aggregator"] == set(range(5)), "at the deadline a mark in each"
    assert world.releases[-1].participants == NAMES[1:]


def test_new_partitions_are_read_although_each_round_opens_as_the_last_one_closes(tmp_path: Path) -> None:
    world = World(tmp_path, NAMES, round_interval_s=0.0, update_timeout_s=60.0, vote_timeout_s=30.0, quorum=1.0)
    world.until(lambda: len(world.releases) == 2)
    for topic in (TOPICS.updates, TOPICS.votes):
        world.broker.add_partitions(topic, 8)
    for _ in range(60):
        world.turn(5.0)
    read = [partition for partition in world.aggregator._positions if partition.topic == TOPICS.updates]
    world.close()
    assert len(read) == 8
