"""The round machine, case by case."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from streamgauge.federation import round_events as ev
from streamgauge.federation.round_state import Late, LogPhase, NodeView, Position, Round, RoundPolicy, State
from streamgauge.federation.rounds import advance
from streamgauge.federation.tally import site_votes, tally

POLICY = RoundPolicy(
    min_nodes=2,
    quorum=0.5,
    round_interval_s=100,
    update_timeout_s=10,
    vote_timeout_s=5,
    max_rejections=2,
    update_partitions=2,
    vote_partitions=2,
)
AT = Position(0, 0)


def view(node: str, release: int = 0, layout: str = "L", ready: bool = True) -> NodeView:
    return NodeView(node, node, 1, "S", layout, ready, ready, release)


def views(release: int = 0, names: str = "abc", layout: str = "L") -> tuple[NodeView, ...]:
    return tuple(view(name, release, layout) for name in names)


class Driver:
    """Feeds events and keeps what the machine asked for."""

    def __init__(self, state: State | None = None, policy: RoundPolicy = POLICY) -> None:
        self.state = state or State()
        self.policy = policy
        self.actions: list[ev.Action] = []

    def feed(self, event: ev.Event, position: Position | None = AT) -> tuple[ev.Action, ...]:
        self.state, actions = advance(self.state, event, self.policy, position)
        self.actions += actions
        return actions

    @property
    def round(self) -> Round:
        assert self.state.round is not None
        return self.state.round

    def update(self, node: str, offset: int = 0, partition: int = 0) -> tuple[ev.Action, ...]:
        return self.feed(ev.UpdateArrived(self.round.number, node, 100), Position(partition, offset))

    def vote(self, node: str, approve: bool = True, offset: int = 0) -> tuple[ev.Action, ...]:
        return self.feed(ev.VoteArrived(self.round.number, node, "sha", approve), Position(0, offset))

    def marks(self, phase: LogPhase = "updates", offset: int = 100) -> tuple[ev.Action, ...]:
        first = self.feed(ev.MarkArrived(self.round.number, phase), Position(0, offset))
        return first + self.feed(ev.MarkArrived(self.round.number, phase), Position(1, offset))

    def agree(self, now: float = 0.0, layout: str = "L") -> None:
        self.feed(ev.Tick(now, views(self.state.release_seq, layout=layout)))
        for node in "abc":
            self.update(node)
        self.feed(ev.Merged(now, "sha0"))

    def train(self, now: float) -> None:
        self.feed(ev.Tick(now, views(self.state.release_seq)))
        for node in "abc":
            self.update(node)
        self.feed(ev.Merged(now, "sha"))


def kinds(actions: tuple[ev.Action, ...]) -> list[str]:
    return [type(action).__name__ for action in actions]


def test_round_0_agrees_and_releases_without_a_vote() -> None:
    driver = Driver()
    (opened,) = driver.feed(ev.Tick(0.0, views()))
    assert isinstance(opened, ev.Open)
    assert (opened.round.number, opened.round.kind, opened.round.base_release_seq) == (0, "agreement", 0)
    assert kinds(driver.update("a")) == ["Keep"]
    assert kinds(driver.update("b")) == ["Keep"]
    assert kinds(driver.update("c")) == ["Keep", "Merge"]
    publish, close = driver.feed(ev.Merged(1.0, "sha0"))
    assert isinstance(publish, ev.Publish)
    assert (publish.release_seq, publish.lineage, publish.previous_release_seq) == (1, 1, 0)
    assert isinstance(close, ev.Close)
    assert (close.outcome, close.release_seq) == ("released", 1)
    assert driver.state.round is None


def test_too_few_nodes_open_nothing() -> None:
    assert Driver().feed(ev.Tick(0.0, views(names="a"))) == ()
    assert Driver().feed(ev.Tick(0.0, ())) == ()
    assert Driver().feed(ev.Tick(0.0, (view("a"), view("b", ready=False)))) == ()


def test_training_waits_for_nodes_that_applied_the_release_and_for_the_interval() -> None:
    driver = Driver()
    driver.agree()
    assert driver.feed(ev.Tick(1.0, views(release=0))) == ()
    nodes = (view("a", 1), view("b", 1), view("c", 0), view("d", 1, ready=False))
    (opened,) = driver.feed(ev.Tick(2.0, nodes))
    assert isinstance(opened, ev.Open)
    assert set(opened.round.sites) == {"a", "b"}
    assert (opened.round.kind, opened.round.base_release_seq) == ("training", 1)
    driver.marks()
    assert driver.state.round is None
    assert driver.feed(ev.Tick(101.9, views(release=1))) == ()
    assert kinds(driver.feed(ev.Tick(102.0, views(release=1)))) == ["Open"]


def test_a_candidate_is_voted_on_and_released() -> None:
    driver = Driver()
    driver.agree()
    driver.train(10.0)
    assert isinstance(driver.actions[-1], ev.Announce)
    driver.vote("a")
    driver.vote("b", approve=False)
    assert kinds(driver.vote("c")) == ["Keep", "Settle"]
    assert kinds(driver.feed(ev.Settled())) == ["Publish", "Close"]
    assert driver.state.release_seq == 2
    assert driver.state.lineage == 1


def test_quorum_at_the_marks_closes_less_abandons() -> None:
    for senders, expected in (("ab", "Merge"), ("a", "Close")):
        driver = Driver()
        driver.feed(ev.Tick(0.0, views()))
        for node in senders:
            driver.update(node)
        assert driver.feed(ev.Tick(9.9, ())) == ()
        assert driver.feed(ev.Tick(10.0, ())) == (ev.SendMarks(0, "updates"),)
        assert kinds(driver.marks())[-1] == expected


def test_marks_that_were_not_seen_are_repeated_and_a_clock_set_back_does_not_hang() -> None:
    driver = Driver()
    driver.feed(ev.Tick(1000.0, views()))
    assert kinds(driver.feed(ev.Tick(1010.0, ()))) == ["SendMarks"]
    assert driver.feed(ev.Tick(1011.0, ())) == ()
    assert kinds(driver.feed(ev.Tick(1070.0, ()))) == ["SendMarks"]
    assert kinds(driver.feed(ev.Tick(3.0, ()))) == ["SendMarks"]
    assert driver.feed(ev.Tick(4.0, ())) == ()


def test_what_stands_after_the_mark_is_late_what_stands_before_is_not() -> None:
    driver = Driver()
    driver.feed(ev.Tick(0.0, views()))
    driver.feed(ev.MarkArrived(0, "updates"), Position(0, 5))
    driver.feed(ev.MarkArrived(0, "updates"), Position(0, 9))  # a repeated mark changes nothing
    assert driver.update("a", offset=6) == (ev.Refuse("a", "late"),)
    assert kinds(driver.update("b", offset=4)) == ["Keep"]
    assert kinds(driver.update("c", offset=6, partition=1)) == ["Keep"]


def test_refusals_have_reasons() -> None:
    driver = Driver()
    assert driver.feed(ev.UpdateArrived(0, "a", 1)) == (ev.Refuse("a", "wrong-round"),)
    driver.feed(ev.Tick(0.0, views()))
    assert driver.update("stranger") == (ev.Refuse("stranger", "not-a-participant"),)
    assert driver.feed(ev.UpdateArrived(7, "a", 1)) == (ev.Refuse("a", "wrong-round"),)
    assert driver.feed(ev.VoteArrived(0, "a", "sha", True)) == (ev.Refuse("a", "wrong-phase"),)
    driver.update("a")
    assert driver.update("a") == (ev.Refuse("a", "duplicate"),)
    driver.feed(ev.UpdateRefused(0, "a", "not-finite"))
    driver.feed(ev.UpdateRefused(0, "b", "not-finite"))
    driver.feed(ev.UpdateRefused(0, "stranger", "not-finite"))
    assert driver.round.refused == {"b": "not-finite"}
    driver.update("b")
    assert driver.round.refused == {}
    driver = Driver()
    driver.agree()
    driver.train(10.0)
    assert driver.update("a") == (ev.Refuse("a", "late"),)
    assert driver.feed(ev.VoteArrived(1, "a", "other", True)) == (ev.Refuse("a", "wrong-candidate"),)
    driver.vote("a", approve=False)
    assert driver.vote("a") == (ev.Refuse("a", "duplicate"),)
    assert driver.round.votes == {"a": False}


def test_a_failed_merge_abandons_and_agreements_are_not_tried_in_a_tight_loop() -> None:
    driver = Driver()
    driver.feed(ev.Tick(0.0, views()))
    for node in "abc":
        driver.update(node)
    (close,) = driver.feed(ev.Merged(1.0, None, "1 columns have no records"))
    assert isinstance(close, ev.Close)
    assert (close.outcome, close.reason) == ("abandoned", "1 columns have no records")
    assert driver.feed(ev.Tick(2.0, views())) == ()
    (opened,) = driver.feed(ev.Tick(60.0, views()))
    assert isinstance(opened, ev.Open)
    assert opened.round.number == 1


def test_vetoes_halve_the_step_and_a_release_doubles_it_again() -> None:
    driver = Driver()
    driver.agree()
    for attempt in range(2):
        driver.train(10.0 + 100 * attempt)
        for node in "abc":
            driver.vote(node, approve=False)
        assert driver.state.round is None
    assert driver.state.step == 0.5
    assert driver.state.rejections == 0
    assert any(isinstance(action, ev.Alarm) for action in driver.actions)
    assert sum(isinstance(action, ev.ForgetOptimizer) for action in driver.actions) == 1
    driver.train(310.0)
    for node in "abc":
        driver.vote(node)
    driver.feed(ev.Settled())
    assert driver.state.step == 1.0


def test_silence_rejects_without_blame() -> None:
    driver = Driver()
    driver.agree()
    driver.train(10.0)
    driver.vote("a")
    assert kinds(driver.feed(ev.Tick(15.0, ()))) == ["SendMarks"]
    close = driver.marks("votes")[-1]
    assert isinstance(close, ev.Close)
    assert close.outcome == "rejected"
    assert close.reason == "1 of 3 sites voted; at least half are needed"
    assert driver.state.rejections == 0


def test_missing_statistics_reject() -> None:
    driver = Driver()
    driver.agree()
    driver.train(10.0)
    for node in "abc":
        driver.vote(node)
    (close,) = driver.feed(ev.Settled("nobody contributed to error.n"))
    assert isinstance(close, ev.Close)
    assert close.outcome == "rejected"
    assert driver.state.release_seq == 1


def test_a_majority_with_another_layout_opens_a_new_lineage() -> None:
    driver = Driver()
    driver.agree()
    mixed = (*views(1, "ab"), view("c", 0, "M"))
    (opened,) = driver.feed(ev.Tick(100.0, mixed))
    assert isinstance(opened, ev.Open)
    assert opened.round.kind == "training"
    driver.marks()
    driver.agree(300.0, layout="M")
    assert (driver.state.lineage, driver.state.release_seq, driver.state.layout_hash) == (2, 2, "M")


def test_the_state_survives_json() -> None:
    driver = Driver()
    driver.agree()
    driver.feed(ev.Tick(10.0, views(1)))
    driver.update("a")
    driver.feed(ev.MarkArrived(1, "updates"), Position(1, 7))
    assert State.from_json(json.loads(json.dumps(driver.state.to_json()))) == driver.state
    assert State.from_json(json.loads(json.dumps(State().to_json()))) == State()


@pytest.mark.parametrize(
    ("votes", "approved"),
    [
        ({"a": True}, False),
        ({"a": True, "b": True}, True),
        ({"a": True, "b": False}, False),
        ({"a": True, "b": True, "c": False}, True),
        ({"a": True, "b": False, "c": False}, False),
        ({"a": True, "b": True, "c": False, "d": False}, True),
    ],
)
def test_tally(votes: dict[str, bool], approved: bool) -> None:
    sites = {node: node for node in "abcd"}
    assert tally(votes, sites).approved is approved


def test_votes_count_by_site() -> None:
    sites = {"a/1": "a", "a/2": "a", "a/3": "a", "b/1": "b", "c/1": "c"}
    votes = {"a/1": False, "a/2": False, "a/3": False, "b/1": True, "c/1": True}
    assert site_votes(votes, sites) == {"a": False, "b": True, "c": True}
    assert tally(votes, sites).approved
    assert site_votes({"a/1": True, "a/2": False}, sites) == {"a": False}
    assert not tally({}, {}).approved


LATE = replace(POLICY, late_rounds=2)


def late_driver() -> Driver:
    """Round 1 was released without c, whose update is still on its way."""
    driver = Driver(policy=LATE)
    driver.agree()
    driver.feed(ev.Tick(10.0, views(1)))
    driver.update("a")
    driver.update("b")
    driver.marks(offset=50)
    driver.feed(ev.Merged(20.0, "sha"))
    return driver


def release(driver: Driver) -> None:
    for node in "ab":
        driver.vote(node)
    driver.marks("votes")
    driver.feed(ev.Settled())


def next_merge(driver: Driver, now: float, answering: str) -> ev.Merge:
    driver.feed(ev.Tick(now, views(driver.state.release_seq)))
    for node in answering:
        driver.update(node)
    driver.marks()
    merge = driver.actions[-1]
    assert isinstance(merge, ev.Merge)
    return merge


def test_a_late_update_counts_in_the_next_round_and_only_once() -> None:
    driver = late_driver()
    assert driver.update("c", offset=60) == (ev.KeepLate("c"),)
    assert driver.update("c", offset=61) == (ev.Refuse("c", "late"),)
    assert driver.update("a", offset=62) == (ev.Refuse("a", "late"),)  # one of its counts already
    release(driver)
    driver.state = State.from_json(json.loads(json.dumps(driver.state.to_json())))
    merge = next_merge(driver, 110.0, "ab")
    assert merge.stale == {"c": Late(1, 1, 2)}
    assert merge.round.base_release_seq == 2
    assert driver.state.late == {}
    again = driver.feed(ev.UpdateArrived(1, "c", 100), Position(0, 200))
    assert again == (ev.Refuse("c", "wrong-round"),)


def test_an_update_of_the_round_itself_takes_the_place_of_a_late_one() -> None:
    driver = late_driver()
    driver.update("c", offset=60)
    release(driver)
    merge = next_merge(driver, 110.0, "abc")
    assert merge.stale == {}
    assert set(merge.round.accepted) == set("abc")


def test_a_late_update_behind_the_next_mark_too_counts_one_round_later() -> None:
    driver = late_driver()
    release(driver)
    driver.feed(ev.Tick(110.0, views(2)))
    driver.feed(ev.MarkArrived(2, "updates"), Position(0, 100))
    assert driver.feed(ev.UpdateArrived(1, "c", 100), Position(0, 101)) == (ev.KeepLate("c"),)
    assert driver.state.late["c"].counts_from == 3
    driver.feed(ev.Restarted())
    assert driver.feed(ev.UpdateArrived(1, "c", 100), Position(0, 101)) == (ev.Refuse("c", "wrong-round"),)


def test_late_updates_that_are_too_old_of_strangers_or_of_another_lineage_do_not_count() -> None:
    driver = late_driver()
    assert driver.feed(ev.UpdateArrived(1, "d", 100), Position(0, 60)) == (ev.Refuse("d", "not-a-participant"),)
    assert driver.feed(ev.UpdateArrived(0, "c", 100), Position(0, 60)) == (ev.Refuse("c", "wrong-round"),)
    driver.update("c", offset=61)
    release(driver)
    driver.agree(200.0, layout="M")
    assert (driver.state.late, driver.state.past) == ({}, ())
    driver = late_driver()
    release(driver)
    for now in (110.0, 220.0):
        next_merge(driver, now, "ab")
        driver.feed(ev.Merged(now, None, "why"))
    assert driver.feed(ev.UpdateArrived(1, "c", 100), Position(0, 300)) == (ev.Refuse("c", "wrong-round"),)


def test_without_a_rule_for_it_a_late_update_is_refused() -> None:
    driver = late_driver()
    driver.policy = POLICY
    assert driver.update("c", offset=60) == (ev.Refuse("c", "late"),)
