"""What was counted since the checkpoint's node began; it survives restarts with it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class TopicCounts:
    """Totals of one source topic.

    Attributes:
        scored: records.
        rejected: records set aside, by reason.
        imputed: cells filled in, by feature and rule.
        outcomes: of messages and ticks in the long layout, of records that came out of order.
    """

    scored: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    imputed: Counter[tuple[str, str]] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)

    def to_state(self) -> dict[str, Any]:
        """As JSON-able values."""
        return {
            "scored": self.scored,
            "rejected": dict(self.rejected),
            "imputed": [[feature, rule, n] for (feature, rule), n in self.imputed.items()],
            "outcomes": dict(self.outcomes),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> TopicCounts:
        """The inverse of `to_state`."""
        imputed = Counter({(feature, rule): n for feature, rule, n in state["imputed"]})
        return cls(state["scored"], Counter(state["rejected"]), imputed, Counter(state["outcomes"]))


@dataclass
class Counts:
    """Totals of a node; `verdicts` by what became of them."""

    abnormal: int = 0
    alerts: int = 0
    topics: defaultdict[str, TopicCounts] = field(default_factory=lambda: defaultdict(TopicCounts))
    verdicts: Counter[str] = field(default_factory=Counter)

    @property
    def scored(self) -> int:
        """Records of all topics."""
        return sum(counts.scored for counts in self.topics.values())

    @property
    def rejected(self) -> int:
        """Records of all topics that were set aside."""
        return sum(counts.rejected.total() for counts in self.topics.values())

    def to_state(self) -> dict[str, Any]:
        """As JSON-able values."""
        topics = {topic: counts.to_state() for topic, counts in self.topics.items()}
        verdicts = dict(self.verdicts)
        return {"abnormal": self.abnormal, "alerts": self.alerts, "verdicts": verdicts, "topics": topics}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Counts:
        """The inverse of `to_state`; checkpoints of older versions have no topics or verdicts."""
        counts = cls(state["abnormal"], state["alerts"], verdicts=Counter(state.get("verdicts", {})))
        for topic, values in state.get("topics", {}).items():
            counts.topics[topic] = TopicCounts.from_state(values)
        return counts
