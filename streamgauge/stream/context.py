"""What the owner of a source partition must know to go on exactly where another stopped."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import StateError
from streamgauge.stream.grouping import AlertGrouper, GroupingPolicy
from streamgauge.stream.imputation import LastValues
from streamgauge.stream.pivot import Pivot
from streamgauge.stream.reorder import Reorder
from streamgauge.stream.sequences import SequenceStates
from streamgauge.stream.source_health import SourceHealth

FORMAT = 3
"""Rises when the state's form changes; another one is refused."""


class LogMark(NamedTuple):
    """How far a log was read: its incarnation, empty before the first look, and the next offset."""

    incarnation: str = ""
    next_offset: int = 0


@dataclass
class PartitionContext:
    """State of one source partition; moves with it from owner to owner.

    Attributes:
        topic_incarnation: Kafka's topic id, or a UUID that stands for it; a context of another one is not used.
        next_offset: the first offset not handled yet.
        grouper: open alerts and watermark.
        last_values: last values per entity, for imputation.
        sequences: state carried per entity, of detectors that have such.
        pivot: open ticks, of sources that send one tag a message.
        reorder: records that wait for earlier ones, of sources that send out of order.
        health: what was last seen of each entity.
        first_time: event time of the first record; the warm-up counts from here. None before it.
        feedback: how far people's verdicts on this partition's alerts were handled.
    """

    topic_incarnation: str
    next_offset: int
    grouper: AlertGrouper
    last_values: LastValues
    sequences: SequenceStates
    pivot: Pivot
    reorder: Reorder
    health: SourceHealth
    first_time: float | None = None
    feedback: LogMark = field(default_factory=LogMark)

    @classmethod
    def fresh(
        cls, topic_incarnation: str, next_offset: int, policy: GroupingPolicy, max_entities: int = 10_000
    ) -> PartitionContext:
        """The context of a partition nobody has read yet."""
        states = LastValues(max_entities), SequenceStates(max_entities), Pivot(max_entities)
        return cls(topic_incarnation, next_offset, AlertGrouper(policy), *states, Reorder(), SourceHealth())

    def forget_values(self) -> None:
        """Forget what is remembered of columns: it means nothing to another schema. Offsets and alerts stay."""
        self.last_values = LastValues(self.sequences.max_entities)
        self.sequences = SequenceStates(self.sequences.max_entities)
        self.pivot = Pivot(self.pivot.max_entities)
        self.health = SourceHealth()
        self.grouper.evidence.clear()

    @property
    def low_watermark(self) -> int:
        """The smallest offset that an open tick or a waiting record is at, else the next; commit no further."""
        held = (self.pivot.first_offset, self.reorder.first_offset)
        return min((self.next_offset, *(first for first in held if first is not None)))

    def warm(self, times: NDArray[np.float64], warm_up_s: float) -> NDArray[np.bool_]:
        """Whether each of the next records comes after the warm-up.

        It is over at the first record whose watermark is `warm_up_s` past the first record's event time: that
        depends on the order of the log alone, not on batches or on other partitions. Call it before
        `grouper.step`, with the same records.

        Args:
            times: (n,) event time in seconds, finite, in log order.
            warm_up_s: event time without alerts.
        """
        if self.first_time is None and len(times):
            self.first_time = float(times[0])
        marks = np.maximum(np.maximum.accumulate(times), self.grouper.watermark)
        return np.asarray(marks - (self.first_time or 0.0) >= warm_up_s)

    def warm_up_left_s(self, warm_up_s: float) -> float:
        """Event time until alerts may start."""
        if self.first_time is None:
            return warm_up_s
        return max(0.0, warm_up_s - (self.grouper.watermark - self.first_time))

    def to_state(self) -> dict[str, Any]:
        """All state as JSON-able values."""
        return {
            "format": FORMAT,
            "topic_incarnation": self.topic_incarnation,
            "next_offset": self.next_offset,
            "grouper": self.grouper.to_state(),
            "last_values": self.last_values.to_state(),
            "sequences": self.sequences.to_state(),
            "pivot": self.pivot.to_state(),
            "reorder": self.reorder.to_state(),
            "health": self.health.to_state(),
            "first_time": self.first_time,
            "feedback": list(self.feedback),
        }

    @classmethod
    def from_state(
        cls, state: Mapping[str, Any], policy: GroupingPolicy, max_entities: int = 10_000
    ) -> PartitionContext:
        """The inverse of `to_state`; the policies are the reader's own.

        Raises:
            StateError: written by an incompatible version, or damaged.
        """
        if state.get("format") != FORMAT:
            raise StateError(
                f"context has format {state.get('format')!r}, this build reads {FORMAT}: "
                "use the version that wrote it, or delete the context to start afresh"
            )
        try:
            first_time = state["first_time"]
            return cls(
                str(state["topic_incarnation"]),
                int(state["next_offset"]),
                AlertGrouper.from_state(state["grouper"], policy),
                LastValues.from_state(state["last_values"], max_entities),
                SequenceStates.from_state(state["sequences"], max_entities),
                # Contexts of older versions lack these.
                Pivot.from_state(state["pivot"], max_entities) if "pivot" in state else Pivot(max_entities),
                Reorder.from_state(state["reorder"]) if "reorder" in state else Reorder(),
                SourceHealth.from_state(state["health"]) if "health" in state else SourceHealth(),
                None if first_time is None else float(first_time),
                LogMark(*state.get("feedback", ())),
            )
        except (KeyError, TypeError, ValueError, zlib.error) as error:
            raise StateError(f"context is damaged ({error!r}); delete it to start afresh") from error
