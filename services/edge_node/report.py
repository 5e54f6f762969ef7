"""What the node says about itself: status messages for the federation, metrics for Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from schemas import ModelUpdate, NodePhase, NodeStatus, Vote
from services.edge_node.metrics import EdgeMetrics
from services.edge_node.participation import Participation
from services.edge_node.poison import Records
from services.edge_node.settings import EdgeSettings
from services.edge_node.source_profiles import SourceProfiles
from services.edge_node.source_report import SourceReporter
from services.edge_node.tasks import Answer
from services.runtime.codecs import layout_items, unpack
from services.runtime.envelope import Sealer
from services.runtime.log import Outgoing
from services.runtime.topics import LARGE_MESSAGE_BYTES, Topics
from streamgauge.detectors import Detector

if TYPE_CHECKING:
    from services.edge_node.loop import EdgeLoop

PHASES: tuple[NodePhase, ...] = ("starting", "agreement", "learning", "watching", "held")


def phase_of(alerting: bool, participation: Participation | None) -> NodePhase:
    """The phase as the status names it; `alerting`: whether any partition may raise alerts."""
    if participation is None:
        return "watching" if alerting else "learning"
    if participation.held is not None and alerting:
        return "held"
    if alerting:
        return "watching"
    if participation.released is not None:
        return "learning"
    return "agreement" if participation.ready_for_agreement else "starting"


class Reporter:
    """Makes status messages and keeps the metrics current.

    Args:
        settings: of the node.
        profiles: of its sources.
        identity: schema hash and detector.
        sealer: signs what goes to the federation.
        incarnation: start time of this process in ms.
        metrics: of this process.
    """

    def __init__(
        self,
        settings: EdgeSettings,
        profiles: SourceProfiles,
        identity: tuple[str, Detector],
        sealer: Sealer,
        incarnation: int,
        metrics: EdgeMetrics,
    ) -> None:
        self._settings, self._sealer, self._incarnation, self._metrics = settings, sealer, incarnation, metrics
        self._schema_hash, self._detector = identity
        self._layout = layout_items(self._detector.layout)
        self._layout_hash = self._detector.layout.hash
        self._topics = Topics(settings.topic_prefix)
        self._seen: Counter[str] = Counter()
        self._begun = False
        self._silent = self._stuck = 0
        self._sources = SourceReporter(settings, profiles, metrics, self._add)

    def sealed(self, answer: Answer) -> Outgoing:
        """An answer in a fresh envelope (the incarnation may have changed); its body is the saved one."""
        kind, topic = (Vote, self._topics.votes) if answer.kind == "vote" else (ModelUpdate, self._topics.updates)
        message, _ = unpack(kind, answer.body, LARGE_MESSAGE_BYTES)
        return self._sealer.seal(message, topic, self._settings.node.encode(), body=answer.body)

    def handled(self, records: Records, seconds: float, now: float) -> None:
        """A poll was handled in `seconds`; `now` is wall time in seconds."""
        if not records:
            return
        self._metrics.step.observe(seconds)
        oldest: dict[str, int] = {}
        for partition, batch in records.items():
            oldest[partition.topic] = min(oldest.get(partition.topic, batch[0].timestamp), batch[0].timestamp)
        for topic, timestamp in oldest.items():
            self._metrics.delay.labels(topic).observe(max(0.0, now - timestamp / 1000))
            self._metrics.last_record.labels(topic).set(now)

    def checkpointed(self, now: float) -> None:
        """A checkpoint was written at wall time `now`."""
        self._metrics.checkpoint.set(now)

    def begin(self, loop: EdgeLoop) -> None:
        """Take the checkpoint's totals as what was counted before."""
        self._refresh(loop)
        self._begun = True

    def report(self, loop: EdgeLoop, now: float) -> None:
        """Refresh the metrics and send the status."""
        self._refresh(loop)
        if loop.participation is not None and loop.link is not None:
            status = self._status(loop, loop.participation, now)
            loop.link.report(self._sealer.seal(status, self._topics.nodes, self._settings.node.encode()))

    def _status(self, loop: EdgeLoop, participation: Participation, now: float) -> NodeStatus:
        node, bundle = loop.node, loop.node.scorer.bundle if loop.node.scorer else None
        alerting = node.alerting(loop.sources.contexts)
        return NodeStatus(
            federation=self._settings.federation,
            node=self._settings.node,
            site=self._settings.site,
            incarnation=self._incarnation,
            at=datetime.fromtimestamp(now, UTC),
            phase=phase_of(alerting, participation),
            learning_left_s=None if alerting else node.learning_left_s(loop.sources.contexts),
            detector=self._detector.name,
            schema_hash=self._schema_hash,
            layout_hash=self._layout_hash,
            layout=self._layout,
            ready_for_agreement=participation.ready_for_agreement,
            ready_to_train=participation.ready_to_train,
            release_seq=participation.released.release.release_seq if participation.released else 0,
            held_release_seq=participation.held,
            bundle_id=node.scorer.bundle_id if node.scorer and bundle else None,
            records_scored=node.counts.scored,
            records_learned=node.learner.records_learned,
            alerts=node.counts.alerts,
            dead_letters=node.counts.rejected,
            silent_entities=self._silent,
            stuck_sensors=self._stuck,
            partition_count=len(loop.sources.contexts),
        )

    def _refresh(self, loop: EdgeLoop) -> None:
        node, metrics = loop.node, self._metrics
        self._add("abnormal", node.counts.abnormal, metrics.abnormal.inc)
        self._add("alerts", node.counts.alerts, metrics.alerts.inc)
        self._add("unexplained", node.unexplained, metrics.unexplained.inc)
        for outcome, n in node.counts.verdicts.items():
            self._add(f"verdicts {outcome}", n, metrics.verdicts.labels(outcome).inc)
        for topic, counts in node.counts.topics.items():
            self._sources.counted(topic, counts)
        self._sources.lag(loop.consumer, loop.sources.contexts)
        self._silent, self._stuck = self._sources.health(loop.sources.contexts)
        self._refresh_model(loop)

    def _refresh_model(self, loop: EdgeLoop) -> None:
        node, metrics, participation = loop.node, self._metrics, loop.participation
        phase = phase_of(node.alerting(loop.sources.contexts), participation)
        for name in PHASES:
            metrics.phase.labels(name).set(name == phase)
        if node.scorer is not None:
            threshold = node.scorer.bundle.info.threshold
            metrics.release.set(node.scorer.bundle.info.release_seq)
            metrics.threshold.set(threshold.value if threshold else 0)
            metrics.extrapolated.set(bool(threshold and threshold.extrapolated))
        metrics.learned.set(node.learner.records_learned)
        metrics.held_out.set(node.learner.holdout_count)
        metrics.learning_left.set(node.learning_left_s(loop.sources.contexts))
        if participation is not None and loop.link is not None:
            metrics.held.set(participation.held or 0)
            # Copied at one go: the link's thread may add a reason at any time.
            for reason, n in (participation.ignored + Counter(dict(loop.link.ignored))).items():
                self._add(f"ignored {reason}", n, metrics.ignored.labels(reason).inc)

    def _add(self, name: str, total: int, increase: Callable[[float], None]) -> None:
        """Raise a counter by what `total` has grown since the start of this process.

        Totals come back with the checkpoint; shown whole, a rollback after a crash would look like a reset and be
        counted twice.
        """
        grown = total - self._seen[name]
        if grown > 0:
            self._seen[name] = total
            if self._begun:
                increase(grown)
