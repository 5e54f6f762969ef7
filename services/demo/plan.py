"""Which processes the demo runs, with which settings. Event time runs faster than life."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from services.demo.sources import SITES, Source
from services.keys import enrol
from services.runtime.brokers.process import free_port
from services.runtime.signing import create_key

SOURCE = "source"
"""Name of the process that sends the records."""
AGGREGATOR = "aggregator"


@dataclass(frozen=True)
class DemoOptions:
    """What a user can choose.

    Attributes:
        source: what is streamed.
        detector: name in the registry.
        learn_labels: send labels along and let the nodes learn from them.
        api_port: 0 takes a free one.
    """

    source: Source
    detector: str
    learn_labels: bool = False
    api_port: int = 8000


@dataclass(frozen=True)
class Process:
    """A process of the demo: its module, its environment and its arguments."""

    name: str
    module: str
    environment: dict[str, str]
    metrics_port: int
    arguments: tuple[str, ...] = ()

    @property
    def command(self) -> list[str]:
        """How it is started."""
        return [sys.executable, "-m", self.module, *self.arguments]


@dataclass(frozen=True)
class Plan:
    """All processes in the order in which they start, and the ports they listen on."""

    processes: tuple[Process, ...]
    api_port: int
    topics: dict[str, str] = field(default_factory=dict)


def make_plan(options: DemoOptions, bootstrap: str, directory: Path) -> Plan:
    """Create keys and settle ports and settings of all processes."""
    keys = directory / "keys"
    enrolled = keys / "nodes"
    _, aggregator_public = create_key(keys, AGGREGATOR)
    common = {"LOG_LEVEL": "warning", "FEDERATION": "demo"}
    topics = {site: f"{site}.records" for site in SITES}
    nodes = [_node(options, bootstrap, directory, site, aggregator_public, common) for site in SITES]
    for site in SITES:
        _, public = create_key(keys, f"{site}/1")
        enrol(public, enrolled)
    api_port = options.api_port or free_port()
    processes = (
        _source(options, bootstrap, common),
        _aggregator(options, bootstrap, directory, common),
        *nodes,
        _api(bootstrap, directory, api_port, common),
    )
    return Plan(processes, api_port, topics)


def _process(name: str, module: str, prefix: str, settings: dict[str, object]) -> Process:
    port = free_port()
    settings = {**settings, "METRICS_PORT": port}
    environment = {
        f"STREAMGAUGE_{prefix}_{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in settings.items()
    }
    return Process(name, module, environment, port)


def _source(options: DemoOptions, bootstrap: str, common: dict[str, str]) -> Process:
    source = options.source
    settings = {**common, "RECORDS__BOOTSTRAP_SERVERS": bootstrap, **source.settings(options.learn_labels)}
    process = _process(SOURCE, "services.cli", source.command.upper(), settings)
    return replace(process, arguments=(source.command, *source.arguments(options.learn_labels)))


def _aggregator(options: DemoOptions, bootstrap: str, directory: Path, common: dict[str, str]) -> Process:
    settings: dict[str, object] = {
        **common,
        "FEDERATION_CLUSTER__BOOTSTRAP_SERVERS": bootstrap,
        "STATE_DIR": str(directory / AGGREGATOR),
        "SIGNING_KEY_FILE": str(directory / "keys" / f"{AGGREGATOR}.key"),
        "NODES_KEYS_DIR": str(directory / "keys" / "nodes"),
        "DETECTOR": options.detector,
        "MIN_NODES": len(SITES),
        "EPOCHS": 8,
        "LEARNING_RATE": 0.003,
        "ROUND_INTERVAL_S": 10,
        "RETRY_INTERVAL_S": 1,
        "UPDATE_TIMEOUT_S": 60,
        "VOTE_TIMEOUT_S": 40,
        "NODE_TIMEOUT_S": 15,
    }
    return _process(AGGREGATOR, "services.aggregator.main", "AGGREGATOR", settings)


def _node(
    options: DemoOptions,
    bootstrap: str,
    directory: Path,
    site: str,
    aggregator_public: Path,
    common: dict[str, str],
) -> Process:
    settings: dict[str, object] = {
        **common,
        "NODE": f"{site}/1",
        "RECORDS__BOOTSTRAP_SERVERS": bootstrap,
        "FEDERATION_CLUSTER__BOOTSTRAP_SERVERS": bootstrap,
        "TOPICS": [f"{site}.records"],
        "PROFILE": options.source.profile,
        "STATE_DIR": str(directory / site),
        "KEY_FILE": str(directory / "keys" / f"{site}__1.key"),
        "AGGREGATOR_KEY_FILE": str(aggregator_public),
        "DETECTOR": options.detector,
        "LEARN_LABELS": options.learn_labels,
        "STATUS_INTERVAL_S": 1.0,
        "CHECKPOINT_INTERVAL_S": 10,
        "ALERTS": options.source.alerts,
        "LEARNING": options.source.learning,
    }
    return _process(site, "services.edge_node.main", "EDGE", settings)


def _api(bootstrap: str, directory: Path, port: int, common: dict[str, str]) -> Process:
    settings: dict[str, object] = {
        **common,
        "RECORDS": [{"bootstrap_servers": bootstrap}],
        "FEDERATION_CLUSTER__BOOTSTRAP_SERVERS": bootstrap,
        "STATE_DIR": str(directory / "api"),
        "PORT": port,
        "AGGREGATOR_KEY_FILE": str(directory / "keys" / f"{AGGREGATOR}.pub"),
        "NODES_KEYS_DIR": str(directory / "keys" / "nodes"),
    }
    return _process("api", "services.api.main", "API", settings)
