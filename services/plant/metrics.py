"""Metrics of the simulated plants."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class PlantMetrics:
    """Counters of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.records = Counter(
            "streamgauge_plant_records_total", "Records written or sent.", ["site"], registry=self.registry
        )
        self.attacks = Counter(
            "streamgauge_plant_attack_records_total", "Those under attack.", ["site"], registry=self.registry
        )
        self.behind = Gauge(
            "streamgauge_plant_behind_seconds", "How far sending lags behind the speed.", registry=self.registry
        )
        self.event_time = Gauge(
            "streamgauge_plant_event_time_seconds",
            "Event time of the last record, Unix time.",
            registry=self.registry,
        )
