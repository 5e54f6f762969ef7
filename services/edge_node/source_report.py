"""What a node says about its sources: counts by topic, lag, silent entities, stuck sensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from services.edge_node.counts import TopicCounts
from services.edge_node.metrics import EdgeMetrics
from services.edge_node.settings import EdgeSettings
from services.edge_node.source_profiles import SourceProfiles
from services.runtime.log import Consumer, Partition
from services.runtime.logging import get_logger
from streamgauge.stream.context import PartitionContext
from streamgauge.stream.source_health import Stuck

log = get_logger("edge.sources")
ORDER_OUTCOMES = ("reordered", "late")
MESSAGE_OUTCOMES = ("taken", "late", "unknown")
"""Of the long layout; the other outcomes are those of ticks."""
Add = Callable[[str, int, Callable[[float], None]], None]
Contexts = Mapping[Partition, PartitionContext]


class SourceReporter:
    """Keeps the metrics of sources current, and logs what falls silent or stands still.

    Args:
        settings: of the node.
        profiles: by topic.
        metrics: of this process.
        add: raises a counter by what a total has grown.
    """

    def __init__(self, settings: EdgeSettings, profiles: SourceProfiles, metrics: EdgeMetrics, add: Add) -> None:
        self._settings, self._profiles, self._metrics, self._add = settings, profiles, metrics, add
        self._lagging: set[Partition] = set()
        self._silent: set[tuple[Partition, str]] = set()
        self._stuck: set[tuple[Partition, str, int]] = set()

    def counted(self, topic: str, counts: TopicCounts) -> None:
        """Totals of a topic."""
        metrics, add = self._metrics, self._add
        add(f"{topic} scored", counts.scored, metrics.records.labels(topic, "scored").inc)
        add(f"{topic} rejected", counts.rejected.total(), metrics.records.labels(topic, "rejected").inc)
        for reason, n in counts.rejected.items():
            add(f"{topic} rejected {reason}", n, metrics.dead_letters.labels(topic, reason).inc)
        for (feature, rule), n in counts.imputed.items():
            other = rule == "other"
            kind = metrics.others.labels(topic, feature) if other else metrics.imputed.labels(topic, feature, rule)
            add(f"{topic} imputed {feature} {rule}", n, kind.inc)
        for outcome, n in counts.outcomes.items():
            add(f"{topic} {outcome}", n, self._outcome(topic, outcome))

    def _outcome(self, topic: str, outcome: str) -> Callable[[float], None]:
        if self._profiles.of(topic).long is None:
            return self._metrics.out_of_order.labels(topic, outcome).inc
        kind = self._metrics.tag_messages if outcome in MESSAGE_OUTCOMES else self._metrics.ticks
        return kind.labels(topic, outcome).inc

    def lag(self, consumer: Consumer, contexts: Contexts) -> None:
        """Records behind, of each partition that this node reads."""
        for partition in self._lagging - contexts.keys():  # another worker reads it now
            self._metrics.lag.remove(partition.topic, str(partition.partition))
            self._lagging.remove(partition)
        for partition in contexts:
            if (lag := consumer.lag(partition)) is not None:
                self._metrics.lag.labels(partition.topic, str(partition.partition)).set(lag)
                self._lagging.add(partition)

    def health(self, contexts: Contexts) -> tuple[int, int]:
        """Notice what fell silent or stands still; returns how many entities and how many sensors."""
        silent: set[tuple[Partition, str]] = set()
        stuck: dict[tuple[Partition, str, int], Stuck] = {}
        for partition, context in contexts.items():
            rule = self._settings.health.rule(self._profiles.of(partition.topic).sampling_period_s)
            if rule is not None:
                silent |= {(partition, name) for name in context.health.silent(rule)}
                stuck |= {(partition, s.entity, s.column): s for s in context.health.stuck(rule)}
        # Also those of before: of a topic that another worker reads now nothing is silent here.
        before = {partition for partition, _ in self._silent} | {partition for partition, _, _ in self._stuck}
        topics = {partition.topic for partition in before | contexts.keys()}
        self._tell(silent, stuck)
        for gauge, found in ((self._metrics.silent, silent), (self._metrics.stuck, stuck)):
            numbers = Counter(key[0].topic for key in found)
            for topic in topics:
                gauge.labels(topic).set(numbers[topic])
        return len(silent), len(stuck)

    def _tell(self, silent: set[tuple[Partition, str]], stuck: Mapping[tuple[Partition, str, int], Stuck]) -> None:
        for partition, entity in sorted(silent - self._silent):
            log.warning("entity fell silent", partition=str(partition), entity=entity)
        for partition, entity in sorted(self._silent - silent):
            log.info("entity is no longer silent", partition=str(partition), entity=entity)
        for key in sorted(stuck.keys() - self._stuck):
            feature = self._profiles.of(key[0].topic).numeric[key[2]].feature.name
            found = stuck[key]
            since = datetime.fromtimestamp(found.since, UTC).isoformat()
            log.warning("sensor is stuck", entity=found.entity, feature=feature, value=found.value, since=since)
        self._silent, self._stuck = silent, set(stuck)
