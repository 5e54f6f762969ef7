"""One replay at a time, whoever dies; what the commands refuse."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dead_letters.claim import LEASE_S, Claim, ReplayBusyError
from services.dead_letters.command import Choice
from services.dead_letters.letters import Letter, read_letters
from services.edge_node.dead_letters import Refused, dead_letter
from services.runtime.errors import SettingsError
from services.runtime.log import Outgoing, Sent
from services.runtime.memory import MemoryBroker, MemoryProducer
from tests.unit.edge_node.kit import good, raw, send

TOPIC = "streamgauge.dead-letters"


class Hours:
    """Time that passes only where something waits; each replay has its own, none agrees with another's."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def wait(self, seconds: float) -> None:
        self.now += seconds


def broker_with_topic() -> MemoryBroker:
    broker = MemoryBroker()
    broker.create_topic(TOPIC, 2)
    return broker


def claim(broker: MemoryBroker, hours: Hours) -> Claim:
    return Claim(broker.consumer(None), broker.producer(), TOPIC, lambda: hours.now, hours.wait)


def test_a_replay_waits_for_one_that_ends_and_refuses_beside_one_that_works() -> None:
    broker, said = broker_with_topic(), list[str]()
    first = claim(broker, Hours(1e6))
    first.take(said.append)
    assert said == []
    hours = Hours()

    class FirstWorks(Hours):
        def wait(self, seconds: float) -> None:
            super().wait(seconds)
            if self.now > 3:
                first._write("works")

    refused = claim(broker, FirstWorks())
    with pytest.raises(ReplayBusyError, match=r"another replay \(.*, process \d+\) is at work: nothing was sent"):
        refused.take(said.append)
    refused.release()
    assert len(said) == 1
    assert "waiting at most 30 s" in said[0]
    first.release()
    second = claim(broker, hours)
    second.take(said.append)
    assert hours.now < 1


def test_one_that_died_is_waited_for_once() -> None:
    broker, hours = broker_with_topic(), Hours()
    claim(broker, Hours())  # says that it began, and dies
    again = claim(broker, hours)
    again.take(lambda _: None)
    assert hours.now == pytest.approx(LEASE_S, abs=1)
    again.hold()
    again.release()
    claim(broker, later := Hours()).take(lambda _: None)
    assert later.now == 0


def test_a_claim_that_was_not_renewed_in_time_is_lost() -> None:
    hours = Hours()
    mine = claim(broker_with_topic(), hours)
    mine.take(lambda _: None)
    hours.wait(LEASE_S - 0.1)
    mine.hold()
    hours.wait(LEASE_S - 0.1)
    mine.hold()
    hours.wait(LEASE_S + 0.1)
    with pytest.raises(ReplayBusyError, match="run it again"):
        mine.hold()


def test_a_renewal_that_arrives_after_the_claim_ran_out_does_not_count() -> None:
    broker, hours = broker_with_topic(), Hours()
    mine = claim(broker, hours)
    mine.take(lambda _: None)
    hours.wait(LEASE_S - 1)

    class Slow(MemoryProducer):
        def deliver(self, records: Sequence[Outgoing]) -> list[Sent]:
            hours.wait(2)
            return super().deliver(records)

    mine._producer = Slow(broker, threading.Event())
    with pytest.raises(ReplayBusyError, match="run it again"):
        mine.hold()


@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["take", "work", "end"]), st.floats(0, 40)), max_size=25)
)
def test_never_do_two_replays_hold_the_right_to_send(steps: list[tuple[int, str, float]]) -> None:
    """Whatever three replays do, and whoever stands still for how long: by true time, at most one may send."""
    broker, true = broker_with_topic(), Hours()
    holding: dict[int, Claim] = {}
    for who, what, pause in steps:
        true.wait(pause)  # everybody stands still, or is dead, for so long
        if what == "take" and who not in holding:
            mine = Claim(broker.consumer(None), broker.producer(), TOPIC, lambda: true.now, true.wait)
            try:
                mine.take(lambda _: None)
            except ReplayBusyError:
                mine.release()
                continue
            holding[who] = mine
        elif who in holding and what == "end":
            holding.pop(who).release()
        may_send = []
        for name, each in list(holding.items()):
            try:
                each.hold()
                may_send.append(name)
            except ReplayBusyError:
                holding.pop(name).release()
        assert len(may_send) <= 1


def letters() -> list[Letter]:
    broker = broker_with_topic()
    broker.create_topic("records", 1)
    send(broker, raw(json.dumps(good(0)).encode()))
    (record,) = broker.records("records")
    broker.producer().deliver([dead_letter(TOPIC, "site/one", Refused(record, "new-reason", "power"))])
    return read_letters(broker.consumer(None), TOPIC)


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        (Choice(reason="unknown"), r"--reason unknown: no such reason; known: bad-entity, .*, new-reason, "),
        (Choice(topic="recrods"), r"--topic recrods: no dead letter came from there; those .* came from records"),
        (Choice(position="records:0"), r"position 'records:0': write topic:partition:offset"),
    ],
)
def test_what_cannot_be_meant_is_refused(choice: Choice, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        choice.check(letters())
    Choice("new-reason", "records", "records:0:0").check(letters())
