"""One alert while it is open, and the snapshots of it that are sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

ChangeState = Literal["opened", "grown", "closed"]
CloseReason = Literal["gap", "max_records", "max_duration", "log_replaced"]
Payload = dict[str, Any]
"""JSON-able facts about one record, kept with the alert."""


class Hit(NamedTuple):
    """One abnormal record: position in the log, event time (seconds since 1970), score and raw score."""

    offset: int
    row: int
    time: float
    score: float
    raw: float


@dataclass(frozen=True, slots=True)
class AlertChange:
    """What is to be told about an alert now; frozen.

    Attributes:
        entity: whose records they are.
        state: ``opened``, ``grown`` (its count reached a power of two) or ``closed``.
        version: 1 when opened, 1 + k at 2^k records, 2 + floor(log2(count)) when closed: rises with every change.
        close_reason: ``gap``, or the limit that cut it; None while open.
        count: abnormal records so far.
        first: the record that opened it; its position identifies the alert.
        last: the record latest in event time.
        worst: the record with the highest score, the earliest of equals (within 1e-6).
        scores: the last scores, oldest first.
        continues: (offset, row) of the first record of the alert that this one continues, if that was cut.
        first_payload: what `payload` said about the first record.
        worst_payload: what `payload` said about the worst record.
    """

    entity: str
    state: ChangeState
    version: int
    close_reason: CloseReason | None
    count: int
    first: Hit
    last: Hit
    worst: Hit
    scores: tuple[float, ...]
    continues: tuple[int, int] | None
    first_payload: Payload
    worst_payload: Payload


WORSE = 1 + 1e-6
"""A record is worse than the worst so far by more than this factor.

A record's score varies by some 1e-7 with the size of the batch it is scored in; without the margin, which of two
equal records counts as the worst would vary too.
"""


class OpenAlert:
    """Mutable state of an open alert; `AlertGrouper` works on it.

    ``last_at`` and ``worst_at`` are indices into the batch being handled, -1 where ``last`` and ``worst`` stand.
    ``marks`` are those of the batch that made the count double, whose rows are kept as evidence.
    ``growth`` is (count, last_at, worst_at, number of scores) at the last doubling within this batch.
    """

    __slots__ = (
        "continues", "count", "end", "entity", "first", "first_payload", "growth", "last", "last_at", "marks",
        "peak", "scores", "start", "touched", "worst", "worst_at", "worst_payload",
    )  # fmt: skip

    def __init__(
        self, entity: str, first: Hit, payload: Payload, continues: tuple[int, int] | None = None
    ) -> None:
        self.entity = entity
        self.first = self.last = self.worst = first
        self.first_payload = self.worst_payload = payload
        self.continues = continues
        self.count = 1
        self.scores = [first.score]
        self.start = self.end = first.time
        self.peak = first.score * WORSE
        self.last_at = self.worst_at = -1
        self.growth: tuple[int, int, int, int] | None = None
        self.marks: list[int] = []
        self.touched = False

    def expiry(self) -> tuple[float, int, int, str]:
        """Entry for the queue of alerts by their last event time."""
        return (self.end, self.first.offset, self.first.row, self.entity)

    def add(self, i: int, time: float, score: float) -> None:
        """Take in abnormal record `i` of the batch being handled. The hot path of a flood."""
        self.count = count = self.count + 1
        self.scores.append(score)
        if score > self.peak:
            self.peak, self.worst_at = score * WORSE, i
        if time >= self.end:
            self.end, self.last_at = time, i
        if not count & (count - 1):
            self.marks.append(i)
            # Replaces an earlier doubling of the same batch: only the last one is sent.
            self.growth = (count, self.last_at, self.worst_at, len(self.scores))

    def change(self, state: ChangeState, version: int, reason: CloseReason | None = None) -> AlertChange:
        """A snapshot; call it only when no index is left unresolved."""
        return AlertChange(
            self.entity, state, version, reason, self.count, self.first, self.last, self.worst,
            tuple(self.scores), self.continues, self.first_payload, self.worst_payload,
        )  # fmt: skip

    def resolve(
        self, hit: Callable[[int], Hit], payload: Callable[[int], Payload], kept: int
    ) -> AlertChange | None:
        """Replace indices by hits at the end of a batch; returns the last doubling in it, if there was one."""
        grown = None
        if self.growth is not None:
            count, last_at, worst_at, length = self.growth
            self._stand_at(last_at, worst_at, hit, payload)
            snapshot = self.change("grown", count.bit_length())
            grown = replace(snapshot, count=count, scores=tuple(self.scores[max(0, length - kept) : length]))
            self.growth = None
            if self.worst_at == worst_at:
                self.worst_at = -1
        self._stand_at(self.last_at, self.worst_at, hit, payload)
        self.last_at = self.worst_at = -1
        del self.scores[:-kept]
        self.touched = False
        return grown

    def _stand_at(
        self, last_at: int, worst_at: int, hit: Callable[[int], Hit], payload: Callable[[int], Payload]
    ) -> None:
        if last_at >= 0:
            self.last = hit(last_at)
        if worst_at >= 0:
            self.worst, self.worst_payload = hit(worst_at), payload(worst_at)

    def to_state(self) -> dict[str, Any]:
        """All of it as JSON-able values."""
        return {
            "entity": self.entity,
            "count": self.count,
            "first": tuple(self.first),
            "last": tuple(self.last),
            "worst": tuple(self.worst),
            "scores": list(self.scores),
            "continues": self.continues,
            "first_payload": self.first_payload,
            "worst_payload": self.worst_payload,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> OpenAlert:
        """The inverse of `to_state`, also after a trip through JSON."""
        continues = state["continues"]
        alert = cls(
            state["entity"],
            Hit(*state["first"]),
            state["first_payload"],
            None if continues is None else tuple(continues),
        )
        alert.last, alert.worst = Hit(*state["last"]), Hit(*state["worst"])
        alert.worst_payload = state["worst_payload"]
        alert.count, alert.scores = state["count"], list(state["scores"])
        alert.end, alert.peak = alert.last.time, alert.worst.score * WORSE
        return alert
