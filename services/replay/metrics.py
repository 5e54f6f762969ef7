"""Metrics of the replay."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class ReplayMetrics:
    """Counters of one replay process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.records = Counter(
            "streamgauge_replay_records_total", "Records acknowledged by Kafka.", ["site"], registry=self.registry
        )
        self.attacks = Counter(
            "streamgauge_replay_attacks_total", "Attack records among them.", ["site"], registry=self.registry
        )
        self.behind = Gauge(
            "streamgauge_replay_behind_seconds", "How far sending lags behind the rate.", registry=self.registry
        )
        self.event_time = Gauge(
            "streamgauge_replay_event_time_seconds",
            "Event time of the last record, Unix time.",
            registry=self.registry,
        )
