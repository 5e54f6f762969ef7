"""Every metric of the aggregator, in one place; the README lists them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class AggregatorMetrics:
    """The metrics of one aggregator, in a registry of their own so that tests can run several."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.messages = Counter(
            "streamgauge_aggregator_messages_total", "Messages read, by topic.", ["topic"], registry=registry
        )
        self.refused = Counter(
            "streamgauge_aggregator_messages_refused_total",
            "Messages that do not count, by topic and reason.",
            ["topic", "reason"],
            registry=registry,
        )
        self.late = Counter(
            "streamgauge_aggregator_late_updates_total",
            "Updates that came too late for their round and were kept for a later one.",
            registry=registry,
        )
        self.resets = Counter(
            "streamgauge_aggregator_log_resets_total",
            "Times that a topic was found deleted and made again.",
            ["topic"],
            registry=registry,
        )
        self.rounds = Counter(
            "streamgauge_aggregator_rounds_total",
            "Rounds closed, by kind and outcome.",
            ["kind", "outcome"],
            registry=registry,
        )
        self.round_open = Gauge("streamgauge_aggregator_round_open", "1 while a round is open.", registry=registry)
        self.round_age = Gauge(
            "streamgauge_aggregator_round_age_seconds", "Age of the open round, 0 without one.", registry=registry
        )
        self.release_seq = Gauge(
            "streamgauge_aggregator_release_seq", "Number of the newest release.", registry=registry
        )
        self.released_at = Gauge(
            "streamgauge_aggregator_last_release_timestamp_seconds",
            "When the newest release was made, seconds since the epoch.",
            registry=registry,
        )
        self.lineage = Gauge("streamgauge_aggregator_lineage", "Lineage of the newest release.", registry=registry)
        self.step = Gauge(
            "streamgauge_aggregator_server_step",
            "Server step, 1 unless candidates were vetoed.",
            registry=registry,
        )
        self.nodes = Gauge(
            "streamgauge_aggregator_nodes",
            "Nodes by state: alive, silent, other-detector.",
            ["state"],
            registry=registry,
        )
        self.outbox = Gauge(
            "streamgauge_aggregator_outbox_messages", "Messages decided on and not yet sent.", registry=registry
        )
        self.sent = Counter(
            "streamgauge_aggregator_messages_sent_total", "Messages sent, by topic.", ["topic"], registry=registry
        )
        self.alarms = Counter(
            "streamgauge_aggregator_alarms_total",
            "Times that the step was halved after vetoes.",
            registry=registry,
        )
        self.lag = Gauge(
            "streamgauge_aggregator_lag_records",
            "Records behind the end of a topic.",
            ["topic"],
            registry=registry,
        )
        self.merge_seconds = Histogram(
            "streamgauge_aggregator_merge_duration_seconds", "Time to merge a round's updates.", registry=registry
        )
