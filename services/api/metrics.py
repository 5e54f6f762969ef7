"""Every metric of the API, in one place; the README lists them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Silence = Callable[[], Iterable[tuple[str, str, float]]]
"""(federation, node, seconds since its last report) of every known node."""


class ApiMetrics:
    """The metrics of one API, in a registry of their own so that tests can run several."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.ingested = Counter(
            "streamgauge_api_records_ingested_total",
            "Records stored, by topic.",
            ["topic"],
            registry=self.registry,
        )
        self.refused = Counter(
            "streamgauge_api_records_refused_total",
            "Records that could not be trusted or used, by topic and reason.",
            ["topic", "reason"],
            registry=self.registry,
        )
        self.resets = Counter(
            "streamgauge_api_log_resets_total",
            "Times that a topic was found deleted and made again.",
            ["topic"],
            registry=self.registry,
        )
        self.lag = Gauge(
            "streamgauge_api_ingest_lag_records",
            "Records that the API is behind the end of a topic.",
            ["source", "topic"],
            registry=self.registry,
        )
        self.ready = Gauge(
            "streamgauge_api_ready", "1 once the ingest has caught up with every topic.", registry=self.registry
        )
        self.pruned = Counter(
            "streamgauge_api_rows_pruned_total", "Rows deleted by retention.", ["table"], registry=self.registry
        )
        self.outbox = Gauge(
            "streamgauge_api_outbox_verdicts",
            "Verdicts that are not on their cluster yet, at most 100.",
            ["source"],
            registry=self.registry,
        )
        self.verdicts_sent = Counter(
            "streamgauge_api_verdicts_sent_total",
            "Verdicts put on the cluster of their alert.",
            ["source"],
            registry=self.registry,
        )
        self.requests = Counter(
            "streamgauge_api_http_requests_total",
            "Answered requests, by route and status.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.duration = Histogram(
            "streamgauge_api_http_request_duration_seconds",
            "Time from request to the last byte of the answer, by route.",
            ["route"],
            registry=self.registry,
        )

    def watch_nodes(self, silence: Silence) -> None:
        """Show `streamgauge_api_node_silence_seconds` as of each scrape."""
        self.registry.register(_SilenceCollector(silence))


class _SilenceCollector(Collector):
    def __init__(self, silence: Silence) -> None:
        self._silence = silence

    def describe(self) -> Iterator[Metric]:
        yield self._family()

    def collect(self) -> Iterator[Metric]:
        family = self._family()
        for federation, node, seconds in self._silence():
            family.add_metric([federation, node], seconds)
        yield family

    @staticmethod
    def _family() -> GaugeMetricFamily:
        return GaugeMetricFamily(
            "streamgauge_api_node_silence_seconds",
            "Seconds since a node's last report.",
            labels=["federation", "node"],
        )
