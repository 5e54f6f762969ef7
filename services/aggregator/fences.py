"""Zombies: messages of a process that was replaced by a newer one do not count.

Judged along the log, so that a restart of the aggregator, which reads a running round again, judges alike: an
update is too old if one of the same node with a newer incarnation stands before it in its topic, or if a newer
process of the node was known when the round opened.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.runtime.envelope import Opened
from services.runtime.errors import EnvelopeError

FenceKey = tuple[str, str]
"""(topic, node)"""


class Fences:
    """Newest incarnation of each node by topic, as of the read position.

    Args:
        stored: as of the saved positions.
    """

    def __init__(self, stored: Mapping[FenceKey, int]) -> None:
        self._newest = dict(stored)
        self._changed: set[FenceKey] = set()

    def check(self, topic: str, opened: Opened, at_least: int) -> None:
        """Refuse an older incarnation, remember a newer one.

        Args:
            topic: where it was read.
            opened: the message, its signature checked.
            at_least: incarnation known when the round opened, 0 if none.
        Raises:
            EnvelopeError: ``old-incarnation``.
        """
        key = (topic, opened.sender)
        newest = max(self._newest.get(key, 0), at_least)
        if opened.incarnation < newest:
            raise EnvelopeError(
                "old-incarnation", f"incarnation {opened.incarnation} of {opened.sender}, {newest} is known"
            )
        if opened.incarnation > self._newest.get(key, 0):
            self._newest[key] = opened.incarnation
            self._changed.add(key)

    def take_changed(self, topics: frozenset[str]) -> dict[FenceKey, int]:
        """What changed for these topics and must be saved with their positions."""
        taken = {key: self._newest[key] for key in self._changed if key[0] in topics}
        self._changed -= taken.keys()
        return taken
