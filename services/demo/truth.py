"""Scores for the screen: what the alerts say beside the truth, which travels in a header no detector sees."""

from __future__ import annotations

import bisect
import json
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from schemas import Alert
from services.runtime.envelope import open_envelope, read_message
from services.runtime.log import TRUTH_HEADER, Consumer, LogRecord, Partition

RIGHT, LATE, WRONG = "right", "late", "wrong"
Where = tuple[Partition, str]
"""Partition and entity."""
KEPT_ATTACKS = 100_000
"""Attack records remembered for each partition and entity; bounds the memory of an endless demo."""


@dataclass(frozen=True)
class Scores:
    """How good the alerts are so far.

    Attributes:
        alerts: alerts seen.
        right: alerts with at least one attack record of their entity between first and last.
        late: other alerts, in the aftermath of an attack; neither right nor wrong.
        alerted: abnormal records of all alerts but those.
        rightly_alerted: those of the alerts that are right.
        attacks: attack records sent while their site was watching.
        found: those of them that lie within an alert of their entity.
        by_class: class of attack -> (found, sent), the same of each class.
        stretches: attacks of consecutive records, and how many of them lie within an alert in part.
        newest: what the newest alert is, by the truth; empty before the first.
    """

    alerts: int
    right: int
    late: int
    alerted: int
    rightly_alerted: int
    attacks: int
    found: int
    by_class: dict[str, tuple[int, int]] = field(default_factory=dict)
    stretches: tuple[int, int] = (0, 0)
    newest: str = ""

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
    labels: list[str] = field(default_factory=list)

    def add(self, offset: int, label: str) -> None:
        self.offsets.append(offset)
        self.labels.append(label)
        del self.offsets[:-KEPT_ATTACKS], self.labels[:-KEPT_ATTACKS]

    def stretches(self) -> Iterator[range]:
        """Runs of consecutive records under one attack."""
        start = 0
        for i in range(1, len(self.offsets) + 1):
            if (
                i == len(self.offsets)
                or self.offsets[i] != self.offsets[i - 1] + 1
                or self.labels[i] != self.labels[i - 1]
            ):
                yield range(start, i)
                start = i

    def between(self, first: int, last: int) -> range:
        return range(bisect.bisect_left(self.offsets, first), bisect.bisect_right(self.offsets, last))


class Truth(threading.Thread):
    """Reads the sources' truth headers and the alerts until stopped.

    Args:
        consumer: reads both.
        sources: topic of each site.
        alerts: topic of the alerts.
        stop: ends the thread.
        aftermath: an alert that begins within so many records after an attack on its entity's partition is
            counted apart: what it shows comes of the attack, though the label ended with it.
    """

    def __init__(
        self,
        consumer: Consumer,
        sources: dict[str, str],
        alerts: str,
        stop: threading.Event,
        aftermath: int = 0,
    ) -> None:
        super().__init__(name="truth", daemon=True)
        self.watching: set[str] = set()
        """Sites whose attacks count; the main thread adds them when their phase says so."""
        self._aftermath = aftermath
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
        truth = dict(record.headers).get(TRUTH_HEADER)
        if truth is None or record.key is None or self._sites[partition.topic] not in self.watching:
            return
        told = json.loads(truth)
        if told["attack"]:
            self._attacks[partition, record.key.decode()].add(record.offset, told["label"])

    def scores(self) -> Scores:
        """The scores so far."""
        with self._lock:
            alerts = list(self._newest.values())
            found: dict[Where, set[int]] = defaultdict(set)
            kinds: Counter[str] = Counter()
            counts: Counter[str] = Counter()
            for alert in alerts:
                where, hits = self._hits(alert)
                kind = RIGHT if hits else LATE if self._late(where, alert) else WRONG
                kinds[kind] += 1
                counts[kind] += alert.count
                found[where].update(hits)
            by_class = self._by_class(found)
            stretches = self._stretches(found)
            newest = self._told(alerts[-1]) if alerts else ""
        sent, hit = (sum(pair[i] for pair in by_class.values()) for i in (1, 0))
        return Scores(
            alerts=len(alerts),
            right=kinds[RIGHT],
            late=kinds[LATE],
            alerted=counts[RIGHT] + counts[WRONG],
            rightly_alerted=counts[RIGHT],
            attacks=sent,
            found=hit,
            by_class=by_class,
            stretches=stretches,
            newest=newest,
        )

    def _late(self, where: Where, alert: Alert) -> bool:
        attacks = self._attacks[where]
        return bool(attacks.between(alert.first.offset - self._aftermath, alert.first.offset - 1))

    def _stretches(self, found: dict[Where, set[int]]) -> tuple[int, int]:
        """Attacks of consecutive records, and how many of them were found."""
        count = hit = 0
        for where, attacks in self._attacks.items():
            for rows in attacks.stretches():
                count += 1
                hit += not found[where].isdisjoint(rows)
        return count, hit

    def _hits(self, alert: Alert) -> tuple[Where, range]:
        """Whose attack records the alert holds, and which of them."""
        where = (Partition(alert.first.topic, alert.first.partition), alert.entity)
        return where, self._attacks[where].between(alert.first.offset, alert.last.offset)

    def _by_class(self, found: dict[Where, set[int]]) -> dict[str, tuple[int, int]]:
        sent: Counter[str] = Counter()
        hit: Counter[str] = Counter()
        for where, attacks in self._attacks.items():
            sent.update(attacks.labels)
            hit.update(attacks.labels[i] for i in found[where])
        return {label: (hit[label], count) for label, count in sorted(sent.items())}

    def _told(self, alert: Alert) -> str:
        where, hits = self._hits(alert)
        kinds = Counter(self._attacks[where].labels[i] for i in hits)
        without = "after an attack" if self._late(where, alert) else "no attack"
        return kinds.most_common(1)[0][0] if kinds else without
