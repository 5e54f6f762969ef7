"""The round as a pure state machine: ``(state, event, log position) -> (state, actions)``.

Nothing here knows a clock, a log or a database. The log of `updates` (of `votes`) is the store of a running phase:
after a restart it is read again from where the phase began, and the same set is collected, since a node's first
valid message counts and what stands before the mark of its partition is on time, whoever reads it and when.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from streamgauge.federation import round_events as ev
from streamgauge.federation.late import keep_late, remember, take_late
from streamgauge.federation.opening import CLOCK_SLACK_S, choose
from streamgauge.federation.round_state import LogPhase, Outcome, Position, Round, RoundPolicy, State
from streamgauge.federation.tally import tally

Step = tuple[State, tuple[ev.Action, ...]]


def advance(state: State, event: ev.Event, policy: RoundPolicy, position: Position | None = None) -> Step:
    """Handle one event.

    Args:
        state: not modified.
        event: what happened.
        position: where it stands in the log; needed by `UpdateArrived`, `VoteArrived` and `MarkArrived`.
    Returns:
        the new state and what to do, in order. `Merge` and `Settle` must be answered at once, before any other
        event, and all must be made durable together with the state.
    """
    match event:
        case ev.Tick():
            return _tick(state, event, policy)
        case ev.UpdateArrived():
            return _update(state, event, policy, position)
        case ev.VoteArrived():
            return _vote(state, event, policy, position)
        case ev.MarkArrived():
            return _mark(state, event, policy, position)
        case ev.UpdateRefused():
            return _refused(state, event)
        case ev.Merged():
            return _merged(state, event, policy)
        case ev.Settled():
            return _settled(state, event, policy)
        case ev.Restarted():
            return _restarted(state)


def _tick(state: State, tick: ev.Tick, policy: RoundPolicy) -> Step:
    current = state.round
    if current is None:
        return _open(state, tick, policy)
    due = tick.now >= current.mark_at or tick.now < current.began_at - CLOCK_SLACK_S
    if not due or (current.phase != "updates" and current.phase != "votes"):
        return state, ()
    # Due again later: the topic may be deleted between the append and the read.
    again = replace(current, began_at=min(tick.now, current.began_at), mark_at=tick.now + policy.retry_interval_s)
    return replace(state, round=again), (ev.SendMarks(current.number, current.phase),)


def _open(state: State, tick: ev.Tick, policy: RoundPolicy) -> Step:
    opened = choose(state, tick, policy)
    if opened is None:
        return state, ()
    opened_at = {**state.opened_at, opened.kind: tick.now}
    return replace(state, round=opened, next_round=opened.number + 1, opened_at=opened_at), (ev.Open(opened),)


def _why_not(
    current: Round | None, phase: LogPhase, number: int, node: str, position: Position | None
) -> str | None:
    """Reason why a message of `node` does not count, None if it does."""
    if current is None or number != current.number:
        return "wrong-round"
    if node not in current.sites:
        return "not-a-participant"
    if current.phase != phase:
        return "late" if phase == "updates" else "wrong-phase"
    if position is None:
        raise ValueError("an update or vote needs its position in the log")
    mark = current.marks.get(position.partition)
    return "late" if mark is not None and position.offset > mark else None


def _update(state: State, event: ev.UpdateArrived, policy: RoundPolicy, position: Position | None) -> Step:
    current = state.round
    reason = _why_not(current, "updates", event.round, event.node, position)
    if reason or current is None:
        noted = _note(state, event.node, "late") if reason == "late" else state
        if reason in ("late", "wrong-round") and (kept := keep_late(noted, event, policy, position)) is not None:
            return kept, (ev.KeepLate(event.node),)
        return noted, (ev.Refuse(event.node, reason or "wrong-round"),)
    if event.node in current.accepted:
        return state, (ev.Refuse(event.node, "duplicate"),)
    refused = {node: why for node, why in current.refused.items() if node != event.node}
    current = replace(current, accepted={**current.accepted, event.node: event.records}, refused=refused)
    state, actions = _close_updates(replace(state, round=current), current, policy)
    return state, (ev.Keep(event.node), *actions)


def _refused(state: State, event: ev.UpdateRefused) -> Step:
    current = state.round
    if current is None or event.round != current.number or current.phase != "updates":
        return state, ()
    return _note(state, event.node, event.reason), ()


def _note(state: State, node: str, reason: str) -> State:
    """Remember why a participant's update does not count; it is told when the round closes."""
    current = state.round
    if current is None or node not in current.sites or node in current.accepted:
        return state
    return replace(state, round=replace(current, refused={**current.refused, node: reason}))


def _mark(state: State, event: ev.MarkArrived, policy: RoundPolicy, position: Position | None) -> Step:
    current = state.round
    if current is None or event.round != current.number or event.phase != current.phase:
        return state, ()
    if position is None:
        raise ValueError("a mark needs its position in the log")
    first = min(position.offset, current.marks.get(position.partition, position.offset))
    current = replace(current, marks={**current.marks, position.partition: first})
    state = replace(state, round=current)
    if event.phase == "updates":
        return _close_updates(state, current, policy)
    return _close_votes(state, current, policy)


def _all_marked(current: Round, policy: RoundPolicy) -> bool:
    partitions = policy.update_partitions if current.phase == "updates" else policy.vote_partitions
    return all(partition in current.marks for partition in range(partitions))


def _close_updates(state: State, current: Round, policy: RoundPolicy) -> Step:
    accepted, asked = len(current.accepted), len(current.sites)
    if accepted < asked and not _all_marked(current, policy):
        return state, ()
    needed = max(1, math.ceil(policy.quorum * asked - 1e-9))
    if accepted < needed:
        return _close(
            state, current, policy, "abandoned", f"{accepted} of {asked} updates on time; {needed} are needed"
        )
    merging = replace(current, phase="merging")
    state, stale = take_late(state, merging, policy)
    return replace(state, round=merging), (ev.Merge(merging, stale),)


def _merged(state: State, event: ev.Merged, policy: RoundPolicy) -> Step:
    current = state.round
    if current is None or current.phase != "merging":
        raise ValueError("Merged without a Merge before it")
    if event.candidate is None:
        return _close(state, current, policy, "abandoned", event.failure or "the updates cannot be merged")
    current = replace(current, candidate=event.candidate)
    if current.kind == "agreement":
        return _release(state, current, policy, "agreed")
    mark_at = event.now + policy.vote_timeout_s
    voting = replace(current, phase="votes", began_at=event.now, mark_at=mark_at, marks={})
    return replace(state, round=voting), (ev.Announce(voting),)


def _vote(state: State, event: ev.VoteArrived, policy: RoundPolicy, position: Position | None) -> Step:
    current = state.round
    reason = _why_not(current, "votes", event.round, event.node, position)
    if reason or current is None:
        return state, (ev.Refuse(event.node, reason or "wrong-round"),)
    if event.candidate != current.candidate:
        return state, (ev.Refuse(event.node, "wrong-candidate"),)
    if event.node in current.votes:
        return state, (ev.Refuse(event.node, "duplicate"),)
    current = replace(current, votes={**current.votes, event.node: event.approve})
    state, actions = _close_votes(replace(state, round=current), current, policy)
    return state, (ev.Keep(event.node), *actions)


def _close_votes(state: State, current: Round, policy: RoundPolicy) -> Step:
    if len(current.votes) < len(current.sites) and not _all_marked(current, policy):
        return state, ()
    verdict = tally(current.votes, current.sites)
    if verdict.approved:
        settling = replace(current, phase="settling")
        return replace(state, round=settling), (ev.Settle(settling),)
    rejections = state.rejections + verdict.vetoed
    alarms: tuple[ev.Action, ...] = ()
    if rejections >= policy.max_rejections:
        state = replace(state, step=state.step / 2)
        alarms = (
            ev.ForgetOptimizer(),
            ev.Alarm(f"{rejections} candidates vetoed in a row; the server's step is halved to {state.step:g}"),
        )
        rejections = 0
    state, actions = _close(replace(state, rejections=rejections), current, policy, "rejected", verdict.reason)
    return state, (*actions, *alarms)


def _settled(state: State, event: ev.Settled, policy: RoundPolicy) -> Step:
    current = state.round
    if current is None or current.phase != "settling":
        raise ValueError("Settled without a Settle before it")
    if event.failure is not None:
        return _close(state, current, policy, "rejected", event.failure)
    return _release(replace(state, rejections=0, step=min(1.0, 2 * state.step)), current, policy, "approved")


def _release(state: State, current: Round, policy: RoundPolicy, reason: str) -> Step:
    lineage = state.lineage + (current.kind == "agreement")
    if current.kind == "agreement":  # what started from another lineage's weights fits these no more
        state = replace(state, past=(), late={})
    publish = ev.Publish(current, state.release_seq + 1, lineage, state.release_seq)
    state = replace(
        state,
        release_seq=publish.release_seq,
        lineage=lineage,
        schema_hash=current.schema_hash,
        layout_hash=current.layout_hash,
    )
    state, actions = _close(state, current, policy, "released", reason, publish.release_seq)
    return state, (publish, *actions)


def _close(
    state: State,
    current: Round,
    policy: RoundPolicy,
    outcome: Outcome,
    reason: str,
    release_seq: int | None = None,
) -> Step:
    state = replace(remember(state, current, policy), round=None)
    return state, (ev.Close(current, outcome, reason, release_seq),)


def _restarted(state: State) -> Step:
    current = state.round
    if current is None:
        return state, ()
    empty: Mapping[int, int] = {}
    if current.phase == "updates":
        current = replace(current, marks=empty, accepted={}, refused={})
    elif current.phase == "votes":
        current = replace(current, marks=empty, votes={})
    return replace(state, round=current), ()
