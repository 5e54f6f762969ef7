"""Scores for the screen: what the alerts say beside the truth, which travels in a header no detector sees."""

from __future__ import annotations

import bisect
import json
import threading
from collections import defaultdict
from dataclasses import dataclass, field

from schemas import Alert
from services.runtime.envelope import open_envelope, read_message
from services.runtime.log import Consumer, LogRecord, Partition

KEPT_ATTACKS = 100_000
"""Attack records remembered for each partition and entity; bounds the memory of an endless demo."""


@dataclass(frozen=True)
class Scores:
    """How good the alerts are so far.

    Attributes:
        alerts: alerts seen.
        right: alerts with at least one attack record of their entity between first and last.
        alerted: abnormal records of all alerts.
        rightly_alerted: those of the alerts that are right.
        attacks: attack records sent while their site was watching.
        found: those of them that lie within an alert of their entity.
    """

    alerts: int
    right: int
    alerted: int
    rightly_alerted: int
    attacks: int
    found: int

    @property
    def precision(self) -> float | None:
        """Share of the alerted records whose alert holds an attack; None before the first alert."""
        return self.rightly_alerted / self.alerted if self.alerted else None

    @property
    def recall(self) -> float | None:
        """Share of the attack records within an alert; None before the first attack."""
        return self.found / self.attacks if self.attacks else None


@dataclass
class _Attacks:
    offsets: list[int] = field(default_factory=list)

    def between(self, first: int, last: int) -> range:
        return range(bisect.bisect_left(self.offsets, first), bisect.bisect_right(self.offsets, last))


class Truth(threading.Thread):
    """Reads the sources' truth headers and the alerts until stopped.

    Args:
        consumer: reads both.
        sources: topic of each site.
        alerts: topic of the alerts.
        stop: ends the thread.
    """

    def __init__(self, consumer: Consumer, sources: dict[str, str], alerts: str, stop: threading.Event) -> None:
        super().__init__(name="truth", daemon=True)
        self.watching: set[str] = set()
        """Sites whose attacks count; the main thread adds them when their phase says so."""
        self._consumer, self._alerts_topic, self._stop_event = consumer, alerts, stop
        self._sites = {topic: site for site, topic in sources.items()}
        self._attacks: dict[tuple[Partition, str], _Attacks] = defaultdict(_Attacks)
        self._newest: dict[str, Alert] = {}
        self._lock = threading.Lock()

    def run(self) -> None:
        """Read from the beginning of all topics."""
        topics = (*self._sites, self._alerts_topic)
        partitions = [p for topic in topics for p in self._consumer.partitions(topic)]
        self._consumer.assign({p: self._consumer.beginning(p) for p in partitions})
        while not self._stop_event.is_set():
            for partition, records in self._consumer.poll(0.2).records.items():
                with self._lock:
                    for record in records:
                        self._take(partition, record)
        self._consumer.close()

    def _take(self, partition: Partition, record: LogRecord) -> None:
        if partition.topic == self._alerts_topic:
            alert = read_message(Alert, open_envelope(record, None))
            known = self._newest.get(str(alert.alert_id))
            if known is None or alert.version > known.version:
                self._newest[str(alert.alert_id)] = alert
            return
        truth = dict(record.headers).get("sg_truth")
        attack = truth is not None and json.loads(truth)["attack"]
        if attack and self._sites[partition.topic] in self.watching and record.key is not None:
            offsets = self._attacks[partition, record.key.decode()].offsets
            offsets.append(record.offset)
            del offsets[:-KEPT_ATTACKS]

    def scores(self) -> Scores:
        """The scores so far."""
        with self._lock:
            alerts = list(self._newest.values())
            found: set[tuple[Partition, str, int]] = set()
            right = rightly = 0
            for alert in alerts:
                where = (Partition(alert.first.topic, alert.first.partition), alert.entity)
                hits = self._attacks[where].between(alert.first.offset, alert.last.offset)
                right += bool(hits)
                rightly += alert.count if hits else 0
                found |= {(*where, i) for i in hits}
            attacks = sum(len(attacks.offsets) for attacks in self._attacks.values())
        return Scores(len(alerts), right, sum(a.count for a in alerts), rightly, attacks, len(found))
