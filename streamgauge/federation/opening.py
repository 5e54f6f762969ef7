"""Whether a round opens now, of which kind and with whom."""

from __future__ import annotations

from collections import Counter

from streamgauge.federation.round_events import Tick
from streamgauge.federation.round_state import NodeView, Round, RoundKind, RoundPolicy, State

CLOCK_SLACK_S = 60.0
"""A clock set back by more than this does not hold a round up: what it waits for is due at once."""


def choose(state: State, tick: Tick, policy: RoundPolicy) -> Round | None:
    """The round to open now, None if it is too early or too few nodes are ready.

    Nodes with other hashes than the majority's, and nodes that lag behind the newest release, do not take part. A
    majority with other hashes than those in force is a new lineage: an agreement comes first.
    """
    current = (state.schema_hash, state.layout_hash)
    hashes = _majority(tick.nodes, current)
    if hashes is None:
        return None
    kind: RoundKind = "training" if hashes == current else "agreement"
    wait_s = policy.round_interval_s if kind == "training" else policy.retry_interval_s
    chosen = sorted((v for v in tick.nodes if _fits(v, hashes, kind, state.release_seq)), key=lambda v: v.node)
    if len(chosen) < policy.min_nodes or not _elapsed(state, kind, tick.now, wait_s):
        return None
    return Round(
        number=state.next_round,
        kind=kind,
        sites={view.node: view.site for view in chosen},
        incarnations={view.node: view.incarnation for view in chosen},
        schema_hash=hashes[0],
        layout_hash=hashes[1],
        base_release_seq=state.release_seq if kind == "training" else 0,
        opened_at=tick.now,
        began_at=tick.now,
        mark_at=tick.now + policy.update_timeout_s,
    )


def _fits(view: NodeView, hashes: tuple[str, str], kind: RoundKind, release_seq: int) -> bool:
    if (view.schema_hash, view.layout_hash) != hashes:
        return False
    if kind == "agreement":
        return view.ready_for_agreement
    return view.ready_to_train and view.release_seq == release_seq


def _elapsed(state: State, kind: RoundKind, now: float, wait_s: float) -> bool:
    last = state.opened_at.get(kind)
    return last is None or now >= last + wait_s or now < last - CLOCK_SLACK_S


def _majority(nodes: tuple[NodeView, ...], current: tuple[str | None, str | None]) -> tuple[str, str] | None:
    """Hashes to work with: those in force, unless more than half of the live nodes share others."""
    groups = Counter((view.schema_hash, view.layout_hash) for view in nodes)
    if not groups:
        return None
    # Ties are broken by hash, so that every replay decides alike.
    best = max(groups, key=lambda group: (groups[group], group))
    if current[0] is None or current[1] is None or 2 * groups[best] > len(nodes):
        return best
    return current[0], current[1]
