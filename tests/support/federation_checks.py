"""What must hold of a federation that has ended, whatever was killed meanwhile."""

from __future__ import annotations

import itertools

import numpy as np

from schemas import Release, RoundClosed, RoundPlan
from services.edge_node.checkpoint import Checkpoint
from services.runtime.tensorfile import load_tensors
from streamgauge.profiles.decoder import Decoder
from streamgauge.profiles.imputing import Imputer
from streamgauge.profiles.profile import load_profile
from streamgauge.stream.imputation import LastValues
from streamgauge.stream.learning import Learner, LearningPolicy, Moments
from tests.support.edge import alerts_of
from tests.support.federation import RETRY_S, UPDATE_TIMEOUT_S, VOTE_TIMEOUT_S, Node, World
from tests.support.ledger import Fates, read_ledger
from tests.support.processes import alerts_in, until, versions

SLACK_S = 60.0
"""Of a round, for an aggregator that was killed and started again meanwhile on a busy machine."""
RELATIVE = 1e-9


def assert_every_record_is_in_the_ledger(world: World) -> None:
    """Nothing was lost: each offset of each topic was scored."""
    for node in world.nodes:
        fates = read_ledger(node.ledger)
        for partition, end in world.clusters.records.ends(node.topic).items():
            scored = fates.get(str(partition), Fates()).scores
            assert set(scored) == set(range(end)), f"{partition}: {end} records, {len(scored)} scored"


def assert_moments_are_those_of_the_ledger(world: World) -> None:
    """Nothing was doubled: n, sum and sumsq are those of exactly the records the ledger calls learned."""
    for node in world.nodes:
        saved, recomputed = _learner(world, node), _recomputed(world, node)
        learned = sum(len(fate.learned) for fate in read_ledger(node.ledger).values())
        assert saved.records_learned == learned > 0
        centre = load_profile(str(world.profile)).schema.centre()
        both = saved.moments
        without = np.array([both.n, both.sum, both.sumsq]) - saved.judged.moments(centre)
        _assert_same(Moments(*without), recomputed)


def assert_verdicts_count_once(world: World) -> None:
    """Of each judged alert its own node has rows, once, under the newest verdict."""
    alerts, labels = alerts_in(world.api), {"attack": 1.0, "false_alarm": 0.0}
    assert alerts is not None
    for node in world.nodes:
        judged = _learner(world, node).judged
        expected = {alert: labels[v] for alert, v in world.verdicts.items() if alerts[alert].node == node.name}
        assert {alert: label for alert, _, label, _ in judged.to_state("")[0]["alerts"]} == expected
        rows = judged.rows()
        positions = list(zip(rows["partition"], rows["offset"], strict=True))
        assert len(set(positions)) == len(positions) >= len(expected)


def saved_checkpoint(node: Node) -> Checkpoint:
    """What the node wrote last."""
    path = node.state_dir / "checkpoint.safetensors"
    values, _ = load_tensors(path.read_bytes())
    assert values["identity"]["node"] == node.name
    return Checkpoint.load(path, values["identity"])


def _learner(world: World, node: Node) -> Learner:
    state = saved_checkpoint(node).learner
    assert state is not None
    return Learner.from_state(state, LearningPolicy(), load_profile(str(world.profile)).schema.centre(), seed=0)


def _recomputed(world: World, node: Node) -> tuple[Moments, Moments]:
    """Moments of the learned records, from the records themselves; and those of the absolute values."""
    profile = load_profile(str(world.profile))
    decoder, imputer, centre = Decoder(profile), Imputer(profile), profile.schema.centre()
    fates, rows = read_ledger(node.ledger), []
    records = world.clusters.records.read(node.topic)
    for number in sorted({record.partition for record in records}):
        batch = [record for record in records if record.partition == number]
        decoded = decoder.decode(batch)
        assert not decoded.rejected
        x = imputer.impute(decoded, LastValues(10_000)).encode(profile.schema)
        learned = fates[f"{node.topic}:{number}"].learned
        rows.append(x[[record.offset in learned for record in batch]].astype(np.float64) - centre)
    away = np.concatenate(rows)
    n, sumsq = (~np.isnan(away)).sum(0).astype(np.float64), np.nansum(away**2, axis=0)
    return Moments(n, np.nansum(away, axis=0), sumsq), Moments(n, np.nansum(np.abs(away), axis=0), sumsq)


def _assert_same(saved: Moments, recomputed: tuple[Moments, Moments]) -> None:
    """Relative to the sums of absolute values: a sum near zero has no digits of its own."""
    moments, sizes = recomputed
    np.testing.assert_array_equal(saved.n, moments.n)
    assert (np.abs(saved.sum - moments.sum) <= RELATIVE * sizes.sum).all()
    assert (np.abs(saved.sumsq - moments.sumsq) <= RELATIVE * sizes.sumsq).all()


def assert_api_shows_the_topic(world: World) -> None:
    """The newest version of each alert in the topic is what the API shows."""
    site = world.clusters.records
    expected = alerts_of(site.read(site.topics.alerts))
    assert expected
    until(lambda: versions(alerts_in(world.api)) == versions(expected), world.api.log_tail)
    assert alerts_in(world.api) == expected


def assert_releases_rise(world: World, at_least: int) -> None:
    """release_seq strictly rises along the topic."""
    releases = world.messages(world.clusters.federation.topics.releases, Release)
    numbers = [release.release_seq for _, release in releases]
    assert len(numbers) >= at_least
    assert all(a < b for a, b in itertools.pairwise(numbers)), numbers


def assert_no_round_hangs(world: World) -> None:
    """Each plan is followed by its close within the deadlines; the last one may still be open."""
    topic = world.clusters.federation.topics.rounds
    opened = {plan.round: record.timestamp for record, plan in world.messages(topic, RoundPlan)}
    closed = {close.round: record.timestamp for record, close in world.messages(topic, RoundClosed)}
    allowed_s = UPDATE_TIMEOUT_S + VOTE_TIMEOUT_S + 2 * RETRY_S + SLACK_S
    assert opened
    assert opened.keys() - closed.keys() <= {max(opened)}, (opened.keys(), closed.keys())
    for number in opened.keys() & closed.keys():
        took_s = (closed[number] - opened[number]) / 1000
        assert took_s <= allowed_s, f"round {number} took {took_s:.0f} s, allowed are {allowed_s:.0f}"


def assert_all(world: World, releases: int) -> None:
    """Everything above; the nodes have been stopped, the API runs."""
    assert_every_record_is_in_the_ledger(world)
    assert_moments_are_those_of_the_ledger(world)
    assert_verdicts_count_once(world)
    assert_releases_rise(world, releases)
    assert_no_round_hangs(world)
    assert_api_shows_the_topic(world)
