"""Metrics of the edge node, for Prometheus. The README's table is tested against this file."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

DELAY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)


class EdgeMetrics:
    """All metrics of a node; one instance a process."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        prefix = "streamgauge_edge"
        # Records read, by outcome: scored, rejected.
        self.records = Counter(
            f"{prefix}_records_total", "Records handled.", ["topic", "outcome"], registry=registry
        )
        # Records scored at or above the alarm line.
        self.abnormal = Counter(
            f"{prefix}_abnormal_records_total", "Records above the threshold.", registry=registry
        )
        # Alerts opened.
        self.alerts = Counter(f"{prefix}_alerts_total", "Alerts opened.", registry=registry)
        # Alert messages sent without explanation, because the cap was reached or explaining failed.
        self.unexplained = Counter(
            f"{prefix}_unexplained_alerts_total", "Alert messages without explanation.", registry=registry
        )
        # People's verdicts on alerts, by what became of them (ADR 038): learned, changed, not_kept, elsewhere,
        # windows, nothing_to_take_back, unreadable.
        self.verdicts = Counter(
            f"{prefix}_verdicts_total", "People's verdicts on alerts.", ["outcome"], registry=registry
        )
        # Dead letters by reason.
        self.dead_letters = Counter(
            f"{prefix}_dead_letters_total", "Dead letters.", ["topic", "reason"], registry=registry
        )
        # Missing cells by feature and by the rule that counted: last, constant, mask.
        self.imputed = Counter(
            f"{prefix}_imputed_cells_total",
            "Missing cells filled in.",
            ["topic", "feature", "rule"],
            registry=registry,
        )
        # Categories that the profile does not list, by feature.
        self.others = Counter(
            f"{prefix}_other_categories_total", "Categories not listed.", ["topic", "feature"], registry=registry
        )
        # Records out of order: reordered (within the profile's `reorder_s`), late (scored at once all the same).
        self.out_of_order = Counter(
            f"{prefix}_out_of_order_records_total",
            "Records out of order.",
            ["topic", "outcome"],
            registry=registry,
        )
        # Wall time of the newest record of a topic.
        self.last_record = Gauge(
            f"{prefix}_last_record_timestamp_seconds", "Time of the last record.", ["topic"], registry=registry
        )
        # Entities without a record while others of their partition went on, in event time.
        self.silent = Gauge(f"{prefix}_silent_entities", "Entities fallen silent.", ["topic"], registry=registry)
        # Sensors that stand still for much longer than they ever did.
        self.stuck = Gauge(f"{prefix}_stuck_sensors", "Sensors that stand still.", ["topic"], registry=registry)
        # Messages of one tag each, by outcome: taken, late (for a closed tick), unknown (no tag of the profile).
        self.tag_messages = Counter(
            f"{prefix}_tag_messages_total", "Messages of one tag each.", ["topic", "outcome"], registry=registry
        )
        # Closed ticks by outcome: complete, partial (some tags not seen), dropped (too little to score).
        self.ticks = Counter(f"{prefix}_ticks_total", "Closed ticks.", ["topic", "outcome"], registry=registry)
        # Messages of the federation that were not believed or do not fit, by reason.
        self.ignored = Counter(
            f"{prefix}_ignored_messages_total", "Federation messages ignored.", ["reason"], registry=registry
        )
        # Message timestamp to acknowledged result, per poll (its oldest record).
        self.delay = Histogram(
            f"{prefix}_delay_seconds",
            "From message timestamp to scored.",
            ["topic"],
            buckets=DELAY_BUCKETS,
            registry=registry,
        )
        # Time of one turn of the loop that had records.
        self.step = Histogram(
            f"{prefix}_step_seconds", "Scoring and sending a poll.", buckets=DELAY_BUCKETS, registry=registry
        )
        # Records behind the end of the partition.
        self.lag = Gauge(f"{prefix}_lag_records", "Records behind.", ["topic", "partition"], registry=registry)
        # Release whose bundle is in force, 0 before the first.
        self.release = Gauge(f"{prefix}_release_seq", "Release in force.", registry=registry)
        # Release held back because it failed the node's own test, 0 if none.
        self.held = Gauge(f"{prefix}_held_release_seq", "Release held back.", registry=registry)
        # 1 for the phase the node is in.
        self.phase = Gauge(f"{prefix}_phase", "Phase of the node.", ["phase"], registry=registry)
        # Raw score of the alarm line.
        self.threshold = Gauge(f"{prefix}_threshold", "Raw score of the alarm line.", registry=registry)
        # 1 if the threshold allows fewer than ten events in the hold-out, so that it is extrapolated.
        self.extrapolated = Gauge(
            f"{prefix}_threshold_extrapolated", "Threshold is extrapolated.", registry=registry
        )
        # Records learned from.
        self.learned = Gauge(f"{prefix}_learned_records", "Records learned from.", registry=registry)
        # Held-out records.
        self.held_out = Gauge(f"{prefix}_held_out_records", "Records held out.", registry=registry)
        # Wall time of the newest checkpoint.
        self.checkpoint = Gauge(
            f"{prefix}_last_checkpoint_timestamp_seconds", "Time of the last checkpoint.", registry=registry
        )
        # Seconds until alerts may start, of event time.
        self.learning_left = Gauge(
            f"{prefix}_learning_left_seconds", "Event time until alerts start.", registry=registry
        )
