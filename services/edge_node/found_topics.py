"""What was there when the node first looked: only for that the setting `start` counts (ADR 044)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from services.runtime.log import Partition


@dataclass
class FoundTopics:
    """Topics that were there at the node's first start, or when the settings first named them or fitted them.

    Everything else came later, perhaps while the node was down: nothing in it is old, so it is read whole.

    Attributes:
        partitions: how many each topic had then; those added since came later.
        pattern: of the settings at the last start; None: there was none.
        opened: whether the node has ever looked.
    """

    partitions: dict[str, int] = field(default_factory=dict)
    pattern: str | None = None
    opened: bool = False

    def open(self, there: Mapping[str, int], named: Collection[str], pattern: str | None) -> None:
        """Take in what the settings choose at a start.

        Args:
            there: partitions of each topic that is read.
            named: topics that the settings name one by one.
            pattern: regular expression of the others. One that fitted the last pattern too came later.
        """
        for topic, count in there.items():
            fitted = self.pattern is not None and re.fullmatch(self.pattern, topic)
            if topic not in self.partitions and (not self.opened or topic in named or not fitted):
                self.partitions[topic] = count
        self.pattern, self.opened = pattern, True

    def forget(self, topics: Collection[str]) -> None:
        """These were deleted: what comes under their names is new."""
        for topic in topics:
            self.partitions.pop(topic, None)

    def __contains__(self, partition: Partition) -> bool:
        return partition.partition < self.partitions.get(partition.topic, 0)

    def to_state(self) -> dict[str, Any]:
        """Plain values for the checkpoint, of their own: it is written while the loop goes on."""
        return {"partitions": dict(self.partitions), "pattern": self.pattern}

    @classmethod
    def from_state(cls, state: Mapping[str, Any] | None) -> Self:
        """The inverse of `to_state`; None, as of a new node or from an older version: it never looked."""
        return cls() if state is None else cls(dict(state["partitions"]), state["pattern"], True)
