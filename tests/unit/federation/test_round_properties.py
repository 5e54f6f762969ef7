"""The round machine against random logs, clocks, duplicates, replays and restarts."""

from __future__ import annotations

import json

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from streamgauge.federation import round_events as ev
from streamgauge.federation.round_state import LogPhase, NodeView, Position, Round, RoundPolicy, State
from streamgauge.federation.rounds import advance
from tests.support.examples import examples

PARTITIONS = 2
NODES = ("a", "b", "c", "d")
LATE = 2
POLICY = RoundPolicy(2, 0.5, 20.0, 5.0, 10.0, 5.0, 2, LATE, PARTITIONS, PARTITIONS)
Entry = ev.UpdateArrived | ev.VoteArrived | ev.MarkArrived | ev.UpdateRefused


class Rounds(RuleBasedStateMachine):
    """A service around the machine: two logs, read positions that are pinned while a phase collects."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self.now = 0.0
        self.applied = dict.fromkeys(NODES, 0)
        self.logs: dict[LogPhase, list[list[Entry]]] = {
            "updates": [[] for _ in range(PARTITIONS)],
            "votes": [[] for _ in range(PARTITIONS)],
        }
        self.read: dict[LogPhase, list[int]] = {"updates": [0] * PARTITIONS, "votes": [0] * PARTITIONS}
        self.saved = json.dumps((self.state.to_json(), self.read))
        self.opened: list[int] = []
        self.closed: list[int] = []
        self.releases: list[int] = []
        self.rounds: dict[int, Round] = {}
        self.lineage_of: dict[int, int] = {}
        self.counted: list[tuple[str, int]] = []
        """(node, round that its update was made for) of all that was ever merged."""

    @initialize(data=st.booleans())
    def begin(self, data: bool) -> None:
        self.layout = "L" if data else "M"

    # The world

    @rule(seconds=st.floats(0, 30), alive=st.sets(st.sampled_from(NODES)))
    def tick(self, seconds: float, alive: set[str]) -> None:
        self.now += seconds
        self._handle(ev.Tick(self.now, tuple(self._view(node) for node in sorted(alive))), None)

    @rule(change=st.sampled_from(["L", "M"]))
    def change_layout(self, change: str) -> None:
        self.layout = change

    @rule(node=st.sampled_from(NODES))
    def apply_release(self, node: str) -> None:
        self.applied[node] = self.state.release_seq

    @rule(node=st.sampled_from((*NODES, "stranger")), behind=st.integers(0, 2), valid=st.booleans())
    def send_update(self, node: str, behind: int, valid: bool) -> None:
        number = self.state.next_round - 1 - behind
        if number < 0:
            return  # nobody answers a plan that was not made
        update: Entry = ev.UpdateArrived(number, node, 100) if valid else ev.UpdateRefused(number, node, "bad")
        self.logs["updates"][len(node) % PARTITIONS if node == "stranger" else ord(node) % PARTITIONS].append(
            update
        )

    @rule(node=st.sampled_from(NODES), approve=st.booleans(), right=st.booleans())
    def send_vote(self, node: str, approve: bool, right: bool) -> None:
        number = max(0, self.state.next_round - 1)
        vote = ev.VoteArrived(number, node, f"sha{number}" if right else "old", approve)
        self.logs["votes"][ord(node) % PARTITIONS].append(vote)

    @rule(
        phase=st.sampled_from(["updates", "votes"]), partition=st.integers(0, PARTITIONS - 1), n=st.integers(1, 9)
    )
    def read_log(self, phase: LogPhase, partition: int, n: int) -> None:
        for _ in range(n):
            offset = self.read[phase][partition]
            if offset >= len(self.logs[phase][partition]):
                return
            self.read[phase][partition] = offset + 1
            self._handle(self.logs[phase][partition][offset], Position(partition, offset))

    @rule(
        phase=st.sampled_from(["updates", "votes"]),
        partition=st.integers(0, PARTITIONS - 1),
        back=st.integers(1, 9),
    )
    def replay(self, phase: LogPhase, partition: int, back: int) -> None:
        """At least once: a part of the log is handed out again."""
        end = self.read[phase][partition]
        before = self.state
        if before.round is None or before.round.phase != phase:
            return  # positions behind the phase's beginning are never read again
        for offset in range(max(self._pinned(phase)[partition], end - back), end):
            self._handle(self.logs[phase][partition][offset], Position(partition, offset))

    @rule(silent=st.sampled_from((*NODES, "")), approve=st.booleans())
    def most_nodes_answer(self, silent: str, approve: bool) -> None:
        """Makes deep states likely: whatever is asked, all but one answer, and it is read."""
        self.tick(21.0, set(NODES))
        for node in (*NODES, *NODES):
            if node != silent:
                self.apply_release(node)
                self.send_update(node, 0, True)
        self._read_all("updates")
        for node in NODES:
            if node != silent:
                self.send_vote(node, approve, True)

    @rule(slow=st.sampled_from(NODES), missed=st.integers(0, 3), times=st.integers(1, 2))
    def one_is_slow(self, slow: str, missed: int, times: int) -> None:
        """Its update comes after so many rounds more, perhaps twice; then another round merges."""
        self._end_round()
        self.apply_release(slow)
        self._round_without(slow)
        made_for = self.state.next_round - 1
        for _ in range(missed):
            self._round_without(slow)
        for _ in range(times):
            self.send_update(slow, self.state.next_round - 1 - made_for, True)
            self._round_without(slow)

    def _round_without(self, silent: str) -> None:
        """A round from its opening to its end."""
        for node in NODES:
            if node != silent:
                self.apply_release(node)
        self.most_nodes_answer(silent, True)
        self.tick(21.0, set(NODES))
        self._read_all("updates")
        for node in NODES:
            if node != silent:
                self.send_vote(node, True, True)
        self._end_round()

    def _end_round(self) -> None:
        for _ in range(3):
            self.tick(1000.0, set())
            self._read_all("updates")
            self._read_all("votes")

    def _read_all(self, phase: LogPhase) -> None:
        for partition in range(PARTITIONS):
            self.read_log(phase, partition, 10_000)

    @rule()
    def crash(self) -> None:
        state, self.read = json.loads(self.saved)
        self.state = State.from_json(state)
        self._handle(ev.Restarted(), None)

    # The service

    def _pinned(self, phase: LogPhase) -> list[int]:
        read: list[int] = json.loads(self.saved)[1][phase]
        return read

    def _view(self, node: str) -> NodeView:
        return NodeView(node, node, 1, "S", self.layout, True, True, self.applied[node])

    def _handle(self, event: ev.Event, position: Position | None) -> None:
        phase = self.state.round.phase if self.state.round else None
        pending = [(event, position)]
        while pending:
            self.state, actions = advance(self.state, pending[0][0], POLICY, pending[0][1])
            pending = [(answer, None) for action in actions for answer in self._obey(action)] + pending[1:]
        self._save(phase)

    def _save(self, phase: str | None) -> None:
        """One transaction; while a phase collects, its topic's positions stay where the phase began."""
        read = json.loads(json.dumps(self.read))
        now = self.state.round.phase if self.state.round else None
        for pinned in ("updates", "votes"):
            if now == pinned and phase == pinned:
                read[pinned] = self._pinned(pinned)
        self.saved = json.dumps((self.state.to_json(), read))

    def _obey(self, action: ev.Action) -> list[ev.Event]:
        match action:
            case ev.Open():
                self.opened.append(action.round.number)
                self.lineage_of[action.round.number] = self.state.lineage
                self.rounds[action.round.number] = action.round
            case ev.SendMarks():
                for log in self.logs[action.phase]:
                    log.append(ev.MarkArrived(action.round, action.phase))
            case ev.Merge():
                self._check_collected(action)
                self._check_stale(action)
                return [ev.Merged(self.now, f"sha{action.round.number}")]
            case ev.Settle():
                return [ev.Settled()]
            case ev.Publish():
                self.releases.append(action.release_seq)
            case ev.Close():
                self.closed.append(action.round.number)
        return []

    def _check_collected(self, merge: ev.Merge) -> None:
        """What was accepted is the first valid update of each participant before the mark of its partition."""
        number, expected = merge.round.number, set()
        for log in self.logs["updates"]:
            for entry in log:
                if isinstance(entry, ev.MarkArrived) and entry.round == number:
                    break
                if isinstance(entry, ev.UpdateArrived) and entry.round == number:
                    expected.add(entry.node)
        expected &= set(merge.round.sites)
        if all(merge.round.marks.get(p) is not None for p in range(PARTITIONS)):
            assert set(merge.round.accepted) == expected
        else:
            assert set(merge.round.accepted) == set(merge.round.sites) == expected

    def _check_stale(self, merge: ev.Merge) -> None:
        """What counts late was sent by a participant of a recent round of this lineage, and counts once."""
        number = merge.round.number
        self.counted += [(node, number) for node in merge.round.accepted]
        for node, late in merge.stale.items():
            origin = self.rounds[late.round]
            assert node in origin.sites
            assert node not in merge.round.accepted
            assert (origin.kind, merge.round.kind) == ("training", "training")
            assert number - LATE <= late.round < number
            assert self.lineage_of[late.round] == self.state.lineage
            assert late.base_release_seq == origin.base_release_seq <= merge.round.base_release_seq
            sent = ev.UpdateArrived(late.round, node, 100)
            assert any(sent in log for log in self.logs["updates"])
            self.counted.append((node, late.round))
        assert len(self.counted) == len(set(self.counted))

    # What must hold

    @invariant()
    def releases_and_rounds_rise(self) -> None:
        assert self.releases == list(range(1, len(self.releases) + 1))
        assert self.opened == sorted(set(self.opened))
        assert self.closed == sorted(set(self.closed))
        assert len(self.opened) - len(self.closed) == (self.state.round is not None)

    def teardown(self) -> None:
        """No round hangs: after its marks are read it has ended, whoever is silent."""
        self._end_round()
        assert self.state.round is None


TestRounds = Rounds.TestCase
TestRounds.settings = settings(examples(15), stateful_step_count=40)
