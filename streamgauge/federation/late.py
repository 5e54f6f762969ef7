"""Updates that come after the mark of their round, for rules that discount them (FedBuff).

A late update waits for the next training round that has not read past it and counts there with its staleness, the
releases between its base and that round's. A node has one say a round: an update of its own for that round takes
the place of a late one. Nothing counts twice: what was merged, or is too old, is forgotten.
"""

from __future__ import annotations

from dataclasses import replace

from streamgauge.federation import round_events as ev
from streamgauge.federation.round_state import Late, Position, Round, RoundPolicy, State


def keep_late(
    state: State, event: ev.UpdateArrived, policy: RoundPolicy, position: Position | None
) -> State | None:
    """State with a late update waiting; None if it may not count: its refusal stands.

    It may where it was made for the open training round or one of the last `late_rounds`, its node took part and
    none of its updates for that round or a newer one counts or waits.
    """
    made_for = round_of(state, event.round)
    if not policy.late_rounds or position is None or made_for is None or made_for.kind != "training":
        return None
    held = state.late.get(event.node)
    known = event.node in made_for.accepted or (held is not None and held.round >= event.round)
    if event.node not in made_for.sites or known:
        return None
    first = _next_merge(state, event.round, position)
    if first - event.round > policy.late_rounds:
        return None
    waiting = Late(event.round, made_for.base_release_seq, first)
    return replace(state, late={**state.late, event.node: waiting})


def round_of(state: State, number: int) -> Round | None:
    """The open or a remembered round of this number."""
    known = (*state.past, *((state.round,) if state.round is not None else ()))
    return next((one for one in known if one.number == number), None)


def _next_merge(state: State, made_for: int, position: Position) -> int:
    """The round that an update at `position` is on time for; decided by the log alone, as for the others."""
    current = state.round
    if current is None or current.number == made_for or current.phase != "updates":
        return state.next_round
    mark = current.marks.get(position.partition)
    return current.number if mark is None or position.offset <= mark else state.next_round


def take_late(state: State, current: Round, policy: RoundPolicy) -> tuple[State, dict[str, Late]]:
    """The late updates that count in a training round about to be merged, by node.

    Returns:
        state without those that count, were replaced by a fresh one or are too old; and those that count.
    """
    if current.kind != "training":
        return state, {}
    due = {node: late for node, late in state.late.items() if late.counts_from <= current.number}
    waiting = {node: late for node, late in state.late.items() if node not in due}
    stale = {
        node: late
        for node, late in sorted(due.items())
        if node not in current.accepted and current.number - late.round <= policy.late_rounds
    }
    past = tuple(
        replace(
            one, accepted={**one.accepted, **{node: 0 for node, late in due.items() if late.round == one.number}}
        )
        for one in state.past
    )  # sent again, they count no second time
    return replace(state, late=waiting, past=past), stale


def remember(state: State, closed: Round, policy: RoundPolicy) -> State:
    """State after a round has closed: late updates for it may come."""
    if closed.kind != "training" or not policy.late_rounds:
        return state
    kept = replace(closed, marks={}, votes={}, refused={})
    return replace(state, past=(*state.past, kept)[-policy.late_rounds :])
