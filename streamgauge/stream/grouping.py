"""Alerts are events, not records: consecutive abnormal records of one entity become one alert.

Everything here depends on the order of the log and on event time only, never on where a poll's batch ends: any
split of a stream into batches opens and closes the same alerts with the same content.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamgauge.names import Names
from streamgauge.stream.alerts import AlertChange, CloseReason, Hit, OpenAlert, Payload
from streamgauge.stream.evidence import Evidence, EvidenceRow

OTHER_ENTITIES = "(other entities)"
"""Name of the one alert shared by entities beyond `GroupingPolicy.max_entities`."""


@dataclass(frozen=True, slots=True)
class GroupingPolicy:
    """When abnormal records belong to one alert.

    Attributes:
        gap_s: an alert closes once event time is more than this past its last record.
        max_records: an alert with so many records is closed and continued as a new one.
        max_duration_s: likewise, a record later than this after the alert's first one starts a new alert.
        scores_kept: how many of the last scores an alert carries.
        max_entities: open alerts of one partition under their own name; further ones share `OTHER_ENTITIES`.
    """

    gap_s: float = 60.0
    max_records: int = 10_000
    max_duration_s: float = 3600.0
    scores_kept: int = 60
    max_entities: int = 10_000


@dataclass(frozen=True, slots=True)
class ScoredBatch:
    """Scored records of one source partition, in the order of its log.

    Attributes:
        times: (n,) float64, event time, seconds since 1970, finite.
        entities: n names.
        scores: (n,) raw score / threshold; from 1 a record is abnormal.
        raw: (n,) raw scores.
        offsets: (n,) int64, position of the message in the log.
        rows: (n,) int64, row within the message.
        x: (n, d) float32, encoded records, of which some are kept as evidence; None keeps none.
    """

    times: NDArray[np.float64]
    entities: Sequence[str]
    scores: NDArray[np.floating]
    raw: NDArray[np.floating]
    offsets: NDArray[np.int64]
    rows: NDArray[np.int64]
    x: NDArray[np.float32] | None = None

    def hit(self, i: int) -> Hit:
        """Record `i` as an alert refers to it."""
        return Hit(
            int(self.offsets[i]),
            int(self.rows[i]),
            float(self.times[i]),
            float(self.scores[i]),
            float(self.raw[i]),
        )


class AlertGrouper:
    """The open alerts of one source partition.

    The watermark is the largest event time seen. Before a record is handled, every alert whose last record is more
    than `gap_s` behind the watermark counts as closed. A late record (behind the watermark) extends its entity's
    alert if that is still open, else it opens one, which then closes at once.

    Cost: a batch without abnormal records costs one pass in NumPy; an abnormal record about a microsecond.
    """

    def __init__(self, policy: GroupingPolicy) -> None:
        self.policy = policy
        self.overflowed = 0
        """Abnormal records that went into the shared alert because too many others were open."""
        self.evidence = Evidence()
        """Rows of open and closed alerts, for people's verdicts."""
        self._watermark = -np.inf
        self._open: dict[str, OpenAlert] = {}
        # (a time the alert's end had, first offset, first row, entity); re-queued when popped too early.
        self._expiry: list[tuple[float, int, int, str]] = []

    @property
    def open_count(self) -> int:
        """Number of open alerts."""
        return len(self._open)

    @property
    def watermark(self) -> float:
        """Largest event time seen, seconds since 1970; minus infinity before the first record."""
        return float(self._watermark)

    def step(self, batch: ScoredBatch, payload: Callable[[int], Payload]) -> list[AlertChange]:
        """Handle the next records of the log.

        Args:
            batch: not modified; may be empty.
            payload: JSON-able facts about record i of this batch; asked for the first record of each new alert and
                for the worst record so far, at most once per alert and message.
        Returns:
            What to send, in order for each alert: opened, at most one grown (the last doubling), closed.
        """
        if not len(batch.times):
            return []
        marks = np.maximum(np.maximum.accumulate(batch.times), self._watermark)
        abnormal = np.flatnonzero(batch.scores >= 1.0)
        run = _Step(self, batch, payload)
        if len(abnormal):
            run.take(abnormal, marks)
        self._watermark = float(marks[-1])
        run.expire(self._watermark)
        run.settle()
        return run.changes

    def close_all(self) -> list[AlertChange]:
        """Close what is open because the log was replaced: nothing can extend it any more."""
        closed = [a.change("closed", 1 + a.count.bit_length(), "log_replaced") for a in self._open.values()]
        self._open.clear()
        self._expiry.clear()
        return closed

    def to_state(self) -> dict[str, Any]:
        """All state as JSON-able values; `from_state` gives a grouper that goes on exactly the same."""
        return {
            "watermark": None if self._watermark == -np.inf else self._watermark,
            "overflowed": self.overflowed,
            "open": [alert.to_state() for alert in self._open.values()],
            "evidence": self.evidence.to_state(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], policy: GroupingPolicy) -> AlertGrouper:
        """The inverse of `to_state`."""
        grouper = cls(policy)
        grouper.overflowed = int(state["overflowed"])
        grouper._watermark = -np.inf if state["watermark"] is None else float(state["watermark"])
        grouper.evidence = Evidence.from_state(state.get("evidence", []))  # older versions have none
        for item in state["open"]:
            alert = OpenAlert.from_state(item)
            grouper._open[alert.entity] = alert
            heapq.heappush(grouper._expiry, alert.expiry())
        return grouper


class _Step:
    """One batch on its way through the grouper; indices into the batch become hits only where they are sent."""

    def __init__(self, grouper: AlertGrouper, batch: ScoredBatch, payload: Callable[[int], Payload]) -> None:
        self.changes: list[AlertChange] = []
        self._grouper = grouper
        self._open = grouper._open
        self._policy = grouper.policy
        self._batch = batch
        self._payload = payload
        self._touched: dict[int, OpenAlert] = {}

    def take(self, abnormal: NDArray[np.int64], marks: NDArray[np.float64]) -> None:
        """Handle the abnormal records in log order. The hot loop: one abnormal record, one turn."""
        batch, policy = self._batch, self._policy
        gap, most, longest, find = policy.gap_s, policy.max_records, policy.max_duration_s, self._open.get
        times, tops = batch.times[abnormal].tolist(), marks[abnormal].tolist()
        scores, touched = batch.scores[abnormal].tolist(), self._touched
        names = Names.of(batch.entities).only(abnormal)
        for i, name, time, top, score in zip(abnormal.tolist(), names, times, tops, scores, strict=True):
            alert = find(name)
            if alert is None or alert.end + gap < top or alert.count >= most or time - alert.start > longest:
                self._begin(i, top)
                continue
            if not alert.touched:
                alert.touched = True
                touched[id(alert)] = alert
            alert.add(i, time, score)

    def _begin(self, i: int, top: float) -> None:
        """Record `i` finds no alert of its own that it could simply extend."""
        name = self._batch.entities[i]
        alert = self._open.get(name)
        if alert is None and self._full(top):
            name, alert = OTHER_ENTITIES, self._open.get(OTHER_ENTITIES)
            self._grouper.overflowed += 1
        reason = None if alert is None else self._reason_to_close(alert, i, top)
        if alert is not None and reason is None:
            alert.touched = True
            self._touched[id(alert)] = alert
            alert.add(i, float(self._batch.times[i]), float(self._batch.scores[i]))
            return
        continues = None
        if alert is not None and reason is not None:
            self._close(alert, reason)
            if reason != "gap":
                continues = (alert.first.offset, alert.first.row)
        self._open_alert(name, i, continues)

    def _full(self, top: float) -> bool:
        own = len(self._open) - (OTHER_ENTITIES in self._open)
        if own < self._policy.max_entities:
            return False
        # Alerts that are over but not yet noticed must not count: that would depend on where batches end.
        self.expire(top)
        return len(self._open) - (OTHER_ENTITIES in self._open) >= self._policy.max_entities

    def _reason_to_close(self, alert: OpenAlert, i: int, top: float) -> CloseReason | None:
        if alert.end + self._policy.gap_s < top:
            return "gap"
        if alert.count >= self._policy.max_records:
            return "max_records"
        if float(self._batch.times[i]) - alert.start > self._policy.max_duration_s:
            return "max_duration"
        return None

    def _open_alert(self, name: str, i: int, continues: tuple[int, int] | None) -> None:
        hit = self._batch.hit(i)
        alert = OpenAlert(name, hit, self._payload(i), continues)
        if self._batch.x is not None:
            self._grouper.evidence.open(self._row(i, self._batch.x))
        self._open[name] = alert
        heapq.heappush(self._grouper._expiry, alert.expiry())
        self.changes.append(alert.change("opened", 1))

    def expire(self, top: float) -> None:
        """Close every alert whose last record is more than the gap before `top`."""
        heap, gap = self._grouper._expiry, self._policy.gap_s
        while heap and heap[0][0] + gap < top:
            _, offset, row, name = heapq.heappop(heap)
            alert = self._open.get(name)
            if alert is None or (alert.first.offset, alert.first.row) != (offset, row):
                continue  # closed meanwhile, perhaps by a cut
            if alert.end + gap < top:
                self._close(alert, "gap")
            else:
                heapq.heappush(heap, alert.expiry())

    def _close(self, alert: OpenAlert, reason: CloseReason) -> None:
        self._touched.pop(id(alert), None)
        alert.growth = None  # the closing message says more
        self._keep(alert)
        alert.resolve(self._batch.hit, self._payload, self._policy.scores_kept)
        del self._open[alert.entity]
        self.changes.append(alert.change("closed", 1 + alert.count.bit_length(), reason))

    def _keep(self, alert: OpenAlert) -> None:
        """Rows of this batch that stand for the alert."""
        if (x := self._batch.x) is not None:
            first, evidence = (alert.first.offset, alert.first.row), self._grouper.evidence
            for i in alert.marks:
                evidence.add(first, self._row(i, x))
            if alert.worst_at >= 0:
                evidence.worst(first, self._row(alert.worst_at, x))
        alert.marks.clear()

    def _row(self, i: int, x: NDArray[np.float32]) -> EvidenceRow:
        hit = self._batch.hit(i)
        return EvidenceRow(hit.offset, hit.row, hit.time, self._batch.entities[i], x[i].copy())

    def settle(self) -> None:
        """Turn what is left as indices into hits, and send the last doubling of each alert that grew."""
        for alert in self._touched.values():
            self._keep(alert)
            growth = alert.resolve(self._batch.hit, self._payload, self._policy.scores_kept)
            if growth is not None:
                self.changes.append(growth)
