"""Which processes the demo runs, with which settings. Event time runs faster than life."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from services.keys import enrol
from services.runtime.brokers.process import free_port
from services.runtime.signing import create_key

SITES = {"site-a": 50, "site-b": 30, "site-c": 20}
"""Unequal shares of the data, in percent."""
AGGREGATOR = "aggregator"


@dataclass(frozen=True)
class DemoOptions:
    """What a user can choose.

    Attributes:
        detector: name in the registry.
        learn_labels: send labels along and let the nodes learn from them.
        rate: records a second over all sites.
        speed: seconds of event time a second.
        normal_s: at most so many seconds of normal records; the first burst comes once all nodes watch.
        api_port: 0 takes a free one.
    """

    detector: str = "autoencoder"
    learn_labels: bool = False
    rate: int = 1500
    speed: float = 100.0
    normal_s: float = 60.0
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
        _replay(options, bootstrap, common),
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


def _replay(options: DemoOptions, bootstrap: str, common: dict[str, str]) -> Process:
    settings: dict[str, object] = {
        **common,
        "RECORDS__BOOTSTRAP_SERVERS": bootstrap,
        "TOPIC_CONFIG": {"retention.bytes": str(256 << 20), "message.timestamp.after.max.ms": str((1 << 63) - 1)},
    }
    rate, normal = options.rate, int(options.normal_s * options.rate)
    bursts = f"normal={normal},length={4 * rate},pause={2 * rate},share=0.05"
    sites = ",".join(f"{site}={share}" for site, share in SITES.items())
    arguments = ["replay", "nsl-kdd", "nsl-kdd-sample", "--topic", "{site}.records", "--sites", sites]
    arguments += ["--bursts", bursts, "--rate", f"{rate}/s", "--speed", f"{options.speed:g}x", "--times", "now-5d"]
    if options.learn_labels:
        arguments.append("--send-labels")
    return replace(_process("replay", "services.cli", "REPLAY", settings), arguments=tuple(arguments))


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
        "PROFILE": "nsl-kdd",
        "STATE_DIR": str(directory / site),
        "KEY_FILE": str(directory / "keys" / f"{site}__1.key"),
        "AGGREGATOR_KEY_FILE": str(aggregator_public),
        "DETECTOR": options.detector,
        "LEARN_LABELS": options.learn_labels,
        "STATUS_INTERVAL_S": 1.0,
        "CHECKPOINT_INTERVAL_S": 10,
        "ALERTS": {"false_alarms_per_day": 40, "gap_s": 120},
        "LEARNING": {
            "warm_up_s": 4 * options.speed,
            "quarantine_s": options.speed,
            "bucket_s": 60,
            "rows_per_bucket": 32,
            # The scaler is agreed on once: from 200 records a site it is so rough that recall stays near 11 %
            # instead of 43 % (one run each).
            "min_records": 3000,
            "min_holdout": 300,
        },
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
