"""Bad messages are refused with reason and counter; the round goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from schemas import RoundMark, RoundPlan
from services.runtime.codecs import pack
from services.runtime.envelope import Sealer
from services.runtime.log import Outgoing
from services.runtime.signing import SigningKey
from streamgauge.layout import Item, Layout
from tests.integration.aggregator_world import FEDERATION, TOPICS, Node, World

BAD = "f" * 64
Attack = Callable[[Node, RoundPlan], None]


def _world(node: Node) -> World:
    assert isinstance(node.world, World)
    return node.world


def _with(**arrays: object) -> Attack:
    def attack(node: Node, plan: RoundPlan) -> None:
        node.send_update(plan, {**node.arrays(plan), **{n: np.asarray(a) for n, a in arrays.items()}})

    return attack


def _saying(**changes: Any) -> Attack:
    return lambda node, plan: node.send_update(plan, **changes)


def _stranger(node: Node, plan: RoundPlan) -> None:
    _world(node).node("d/1", enrol=False).send_update(plan)


def _not_a_participant(node: Node, plan: RoundPlan) -> None:
    _world(node).node("e/1").send_update(plan)


def _unsigned(node: Node, plan: RoundPlan) -> None:
    message = node.update(plan)
    sealer = Sealer(node.name, node.incarnation, None)
    body = pack(message, node.arrays(plan))
    node.world.send(sealer.seal(message, TOPICS.updates, node.name.encode(), body=body))


def _forged(node: Node, plan: RoundPlan) -> None:
    message = node.update(plan)
    sealer = Sealer(node.name, node.incarnation, SigningKey.generate())
    body = pack(message, node.arrays(plan))
    node.world.send(sealer.seal(message, TOPICS.updates, node.name.encode(), body=body))


def _raw(body: bytes) -> Attack:
    def attack(node: Node, plan: RoundPlan) -> None:
        sealed = node.sealer.seal(node.update(plan), TOPICS.updates, node.name.encode(), body=body)
        node.world.send(sealed)

    return attack


def _no_envelope(node: Node, plan: RoundPlan) -> None:
    node.world.send(Outgoing(TOPICS.updates, b"x", b"{}"))


def _other_key(node: Node, plan: RoundPlan) -> None:
    message = node.update(plan)
    sealed = node.sealer.seal(message, TOPICS.updates, b"b/1", body=pack(message, node.arrays(plan)))
    node.world.send(sealed)


def _zombie(node: Node, plan: RoundPlan) -> None:
    message = node.update(plan)
    sealer = Sealer(node.name, node.incarnation - 1, node.key)
    body = pack(message, node.arrays(plan))
    node.world.send(sealer.seal(message, TOPICS.updates, node.name.encode(), body=body))


def _mark(node: Node, plan: RoundPlan) -> None:
    mark = RoundMark(federation=FEDERATION, round=plan.round, phase="updates", mark_id=uuid4())
    for partition in (0, 1):
        node.world.send(node.sealer.seal(mark, TOPICS.updates, b"x", partition=partition))


def _wrong_type(node: Node, plan: RoundPlan) -> None:
    node.world.send(node.sealer.seal(plan, TOPICS.updates, node.name.encode()))


NAN = np.full((3, 2), np.nan, np.float32)
ATTACKS: dict[str, tuple[str, Attack]] = {
    "nan": ("not-finite", _with(w=NAN)),
    "infinite": ("not-finite", _with(b=np.array(np.inf, np.float32))),
    "shape": ("wrong-layout", _with(w=np.zeros((2, 3), np.float32))),
    "dtype": ("wrong-layout", _with(w=np.zeros((3, 2)))),
    "extra array": ("wrong-layout", _with(more=np.zeros(3, np.float32))),
    "layout hash": ("wrong-layout", _saying(layout_hash=BAD)),
    "schema hash": ("wrong-schema", _saying(schema_hash=BAD)),
    "base": ("wrong-base", _saying(base_release_seq=7)),
    "kind": ("wrong-base", _saying(kind="agreement")),
    "round": ("wrong-round", _saying(round=99)),
    "count": ("implausible-count", _saying(records=10**12)),
    "no records": ("implausible-count", _saying(records=0)),
    "site": ("wrong-site", _saying(site="b")),
    "other node": ("wrong-sender", _saying(node="b/1", site="b")),
    "too long": ("norm", _with(w=np.full((3, 2), 1e4, np.float32))),
    "unknown key": ("unknown-key", _stranger),
    "not a participant": ("not-a-participant", _not_a_participant),
    "unsigned": ("unsigned", _unsigned),
    "forged": ("bad-signature", _forged),
    "not safetensors": ("not-safetensors", _raw(b"\x80\x04pickled")),
    "no message": ("bad-message", _raw(b"\x02\x00\x00\x00\x00\x00\x00\x00{}")),
    "huge": ("too-large", _raw(b"\0" * 2_000_000)),
    "no envelope": ("not-ours", _no_envelope),
    "record key": ("wrong-key", _other_key),
    "old incarnation": ("old-incarnation", _zombie),
    "forged mark": ("forged-mark", _mark),
    "wrong type": ("wrong-type", _wrong_type),
}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr("services.runtime.trust.CHECK_INTERVAL_S", -1.0)  # keys enrolled in a test count at once
    world = World(tmp_path, ("a/1", "b/1", "c/1"), max_message_bytes=1_000_000)
    for node in world.nodes:
        node.restart(5)
    yield world
    world.close()


def test_every_bad_update_is_refused_with_its_reason_and_the_round_goes_on(world: World) -> None:
    world.until(lambda: len(world.releases) == 1)
    evil, last = world.nodes[0], world.nodes[2]
    evil.answers = last.answers = False
    world.until(lambda: 1 in evil.plans and 1 in last.plans)
    for name, (reason, attack) in ATTACKS.items():
        before = world.refusals().get(reason, 0)
        attack(evil, evil.plans[1])
        world.turn(seconds=0.1)
        assert world.refusals().get(reason, 0) > before, name
        assert len(world.closed) == 1, f"{name} closed the round"
    evil.send_update(evil.plans[1])
    evil.send_update(evil.plans[1])
    world.turn()
    assert world.refusals()["duplicate"] == 1
    last.send_update(last.plans[1])
    world.until(lambda: len(world.closed) == 2)
    assert set(world.closed[-1].accepted) == {"a/1", "b/1", "c/1"}
    assert world.closed[-1].refused == {}


def test_a_refused_node_is_told_why(world: World) -> None:
    world.until(lambda: len(world.releases) == 1)
    evil = world.nodes[0]
    evil.answers = False
    world.until(lambda: 1 in evil.plans)
    _with(w=NAN)(evil, evil.plans[1])
    world.until(lambda: 1 in evil.closed, seconds=15)
    assert evil.closed[1].refused == {"a/1": "not-finite: w has values that are not finite"}
    assert evil.closed[1].outcome == "released"
    assert set(evil.closed[1].accepted) == {"b/1", "c/1"}


@pytest.mark.parametrize(
    ("part", "value", "reason"),
    [
        ("n", 1e9, "implausible-moments"),
        ("sum", 1e15, "implausible-moments"),
        ("sumsq", -5.0, "implausible-moments"),
        ("sumsq", 0.0, "implausible-moments"),
        ("sum", np.nan, "not-finite"),
    ],
)
def test_absurd_moments_are_refused_in_the_agreement(world: World, part: str, value: float, reason: str) -> None:
    evil = world.nodes[0]
    evil.answers = False
    world.until(lambda: 0 in evil.plans)
    arrays = evil.arrays(evil.plans[0])
    arrays[f"scaler.{part}"] = np.full(4, value)
    evil.send_update(evil.plans[0], arrays)
    world.until(lambda: len(world.releases) == 1, seconds=15)
    assert world.refusals() == {reason: 1}
    assert world.releases[0].participants == ("b/1", "c/1")


def test_bad_votes_are_refused_and_the_vote_goes_on(world: World) -> None:
    world.until(lambda: len(world.releases) == 1)
    evil = world.nodes[0]
    evil.votes = False
    world.until(lambda: bool(evil.candidates))
    candidate = evil.candidates[1]
    evil.send_vote(candidate, candidate_sha256=BAD)
    evil.send_vote(candidate, round=77)
    evil.send_vote(candidate, records=10**12)
    evil.send_vote(candidate, records=30)  # its moments claim 50
    world.turn()
    assert world.refusals() == {
        "wrong-candidate": 1,
        "wrong-round": 1,
        "implausible-count": 1,
        "implausible-moments": 1,
    }
    evil.send_vote(candidate, approve=False)
    evil.send_vote(candidate, approve=True)
    world.until(lambda: len(world.closed) == 2)
    assert world.closed[-1].votes == {"a": False, "b": True, "c": True}


def test_bad_statuses_are_refused(world: World) -> None:
    node = world.nodes[0]
    world.turn()
    node.layout = Layout((Item("w", (10**6, 10**6), "mean", "weights"),))
    node.report()
    zombie = Node(world, node.name, node.key, incarnation=4)
    zombie.report()
    node.site = "b"
    node.report()
    world.aggregator.step(0.0)
    assert world.refusals() == {"bad-layout": 1, "old-incarnation": 1, "wrong-site": 1}


def test_a_node_enrolled_later_may_take_part_without_a_restart(world: World) -> None:
    world.until(lambda: len(world.releases) == 1)
    world.nodes.append(world.node("d/1"))
    world.until(lambda: len(world.releases) > 1 and "d/1" in world.releases[-1].participants)


def test_a_liar_about_its_count_gains_no_more_than_the_cap(world: World) -> None:
    world.nodes[0].claimed = 10**8
    world.until(lambda: len(world.releases) == 2)
    assert world.closed[-1].accepted == {"a/1": 1000, "b/1": 100, "c/1": 100}


def test_messages_of_other_federations_are_skipped(world: World) -> None:
    world.until(lambda: 0 in world.nodes[0].plans)
    plan = world.nodes[0].plans[0]
    world.nodes[0].send_update(plan, federation="other")
    world.until(lambda: len(world.releases) == 1)
    assert world.refusals() == {}
