"""The nodes as the aggregator knows them: newest status, when it was read, who is alive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas import NodeStatus
from services.runtime.envelope import Opened
from services.runtime.errors import EnvelopeError
from streamgauge.federation.round_state import NodeView


@dataclass(frozen=True)
class NodeEntry:
    """A node's newest status.

    Attributes:
        sequence: of the message, rising within one incarnation.
        seen_at: when it was read, seconds of the aggregator's clock; no clock of a node counts.
    """

    status: NodeStatus
    sequence: int
    seen_at: float


class NodeTable:
    """Newest status of every node.

    Args:
        stored: as saved.
        detector: of the federation; nodes with another one take no part.
        timeout_s: a node that was silent for longer is not alive.
    """

    def __init__(self, stored: Mapping[str, NodeEntry], detector: str, timeout_s: float) -> None:
        self._entries = dict(stored)
        self._detector = detector
        self._timeout_s = timeout_s
        self._changed: set[str] = set()

    def report(self, status: NodeStatus, opened: Opened, now: float) -> None:
        """Take in a status; one that is older than what is known changes nothing.

        Raises:
            EnvelopeError: ``old-incarnation``.
        """
        known = self._entries.get(status.node)
        if known is not None:
            if opened.incarnation < known.status.incarnation:
                raise EnvelopeError(
                    "old-incarnation",
                    f"incarnation {opened.incarnation} of {status.node}, {known.status.incarnation} is known",
                )
            if opened.incarnation == known.status.incarnation and opened.sequence <= known.sequence:
                return
        self._entries[status.node] = NodeEntry(status, opened.sequence, now)
        self._changed.add(status.node)

    def take_changed(self) -> dict[str, NodeEntry]:
        """What must be saved."""
        taken = {node: self._entries[node] for node in sorted(self._changed)}
        self._changed.clear()
        return taken

    def views(self, now: float) -> tuple[NodeView, ...]:
        """The live nodes with the federation's detector, sorted by name."""
        return tuple(
            _view(entry.status)
            for _, entry in sorted(self._entries.items())
            if self._alive(entry, now) and entry.status.detector == self._detector
        )

    def layout_status(self, layout_hash: str) -> NodeStatus | None:
        """A status that carries the layout of this hash (checked when it arrived)."""
        for _, entry in sorted(self._entries.items()):
            if entry.status.layout_hash == layout_hash:
                return entry.status
        return None

    def counts(self, now: float) -> dict[str, int]:
        """Number of nodes by state, for the metrics."""
        alive = [entry for entry in self._entries.values() if self._alive(entry, now)]
        other = sum(entry.status.detector != self._detector for entry in alive)
        return {"alive": len(alive) - other, "other-detector": other, "silent": len(self._entries) - len(alive)}

    def _alive(self, entry: NodeEntry, now: float) -> bool:
        return abs(now - entry.seen_at) <= self._timeout_s


def _view(status: NodeStatus) -> NodeView:
    return NodeView(
        status.node,
        status.site,
        status.incarnation,
        status.schema_hash,
        status.layout_hash,
        status.ready_for_agreement,
        status.ready_to_train,
        status.release_seq,
    )
