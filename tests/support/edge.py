"""Run an edge node in this process, on the log in memory or on a broker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from schemas import Alert
from services.edge_node.build import EdgeNode, Hooks
from services.edge_node.metrics import EdgeMetrics
from services.edge_node.settings import EdgeSettings
from services.runtime.log import Consumer, LogRecord, Producer
from services.runtime.memory import MemoryBroker
from services.runtime.settings import ClusterSettings
from services.runtime.topics import LARGE_MESSAGE_BYTES, Topics

NOWHERE = ClusterSettings(bootstrap_servers="127.0.0.1:1")


class MemoryClients:
    """Clients of one in-memory broker, whatever cluster is asked for."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker

    def consumer(self, cluster: ClusterSettings, client_id: str, group_id: str | None = None) -> Consumer:
        return self.broker.consumer(group_id)

    def producer(self, cluster: ClusterSettings, client_id: str, stop: threading.Event) -> Producer:
        return self.broker.producer(stop)


def memory_broker(records_topic: str, partitions: int) -> MemoryBroker:
    """A broker with the topics of a site and one of records."""
    broker = MemoryBroker()
    topics = Topics()
    broker.create_topic(records_topic, partitions, LARGE_MESSAGE_BYTES)
    for spec in (*topics.records_specs(), *topics.federation_specs()):
        broker.create_topic(spec.name, spec.partitions, spec.min_max_message_bytes)
    return broker


def edge_settings(state_dir: Path, profile: Path, **changes: Any) -> EdgeSettings:
    """A node that scores with a pinned bundle unless told otherwise."""
    values: dict[str, Any] = {
        "node": "site/one",
        "records": NOWHERE,
        "topics": ("records",),
        "profile": str(profile),
        "state_dir": state_dir,
        "commit_interval_s": 0.0001,
        "checkpoint_interval_s": 0.0001,
        "status_interval_s": 0.0001,
        "poll_timeout_s": 0.001,
        "alerts": {"gap_s": 60.0, "max_records": 8, "max_duration_s": 600.0},
    }
    return EdgeSettings(**{**values, **changes})


def run_until(
    settings: EdgeSettings, clients: MemoryClients, done: Callable[[EdgeNode], bool], hooks: Hooks | None = None
) -> None:
    """Run turns until `done`, then end cleanly; an exception of a hook ends it as a crash does."""
    stop = threading.Event()
    edge = EdgeNode(settings, clients, stop, EdgeMetrics(CollectorRegistry()), hooks)
    try:
        edge.start()
        edge.loop.run(lambda: done(edge))
    finally:
        stop.set()
        edge.close()


def at_end(edge: EdgeNode) -> bool:
    """Whether everything in the source partitions was handled."""
    contexts = edge.loop.sources.contexts
    return bool(contexts) and all(edge.loop.consumer.end(p) == c.next_offset for p, c in contexts.items())


def alerts_of(records: Iterable[LogRecord]) -> dict[str, Alert]:
    """Newest version of each alert, by id."""
    newest: dict[str, Alert] = {}
    for record in records:
        assert record.value is not None
        alert = Alert.read(record.value)
        known = newest.get(str(alert.alert_id))
        if known is None or alert.version > known.version:
            newest[str(alert.alert_id)] = alert
    return newest


def assert_same_alerts(expected: dict[str, Alert], actual: dict[str, Alert]) -> None:
    """Equal id by id, scores within 1e-5 relative; explanations and the node's name are not compared."""
    assert actual.keys() == expected.keys()
    for key, alert in expected.items():
        mine, theirs = _comparable(actual[key]), _comparable(alert)
        differing = [name for name in mine if mine[name] != theirs[name]]
        assert not differing, {name: (mine[name], theirs[name]) for name in differing}


def _comparable(alert: Alert) -> Any:
    plain = alert.model_dump(exclude={"features", "explained", "node", "site"})
    return _rounded(plain)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return Close(value)
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return value


class Close(float):
    """A number equal to any other within 1e-5 relative."""

    __hash__ = float.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float) and abs(self - other) <= 1e-5 * max(abs(float(self)), abs(float(other)))

    def __ne__(self, other: object) -> bool:  # float's own would compare exactly
        return not self == other
