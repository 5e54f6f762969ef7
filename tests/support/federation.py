"""A whole federation as processes: edge nodes that train, aggregator, API; and what must hold at its end."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from schemas import Release
from schemas.base import Message
from services.keys import enrol
from services.runtime.brokers import LocalBroker
from services.runtime.envelope import open_envelope, read_message
from services.runtime.log import LogRecord, Outgoing
from services.runtime.signing import create_key
from tests.support.edge_process import KILL_AT, LEDGER, ROUND_STEPS, STEPS
from tests.support.plant import messages, plant_records, write_profile
from tests.support.processes import AGGREGATOR, API, EDGE, Service, alerts_in, until
from tests.support.site import Feeder, Site

M = TypeVar("M", bound=Message)
PARTITIONS = 2
UPDATE_TIMEOUT_S, VOTE_TIMEOUT_S, RETRY_S, NODE_TIMEOUT_S = 15.0, 10.0, 1.0, 15.0
AGGREGATOR_SETTINGS: dict[str, object] = {
    "MIN_NODES": 2,
    "EPOCHS": 8,
    "LEARNING_RATE": 0.002,
    "ROUND_INTERVAL_S": 1,
    "RETRY_INTERVAL_S": RETRY_S,
    "UPDATE_TIMEOUT_S": UPDATE_TIMEOUT_S,
    "VOTE_TIMEOUT_S": VOTE_TIMEOUT_S,
    "NODE_TIMEOUT_S": NODE_TIMEOUT_S,
}
EDGE_SETTINGS: dict[str, object] = {
    "COMMIT_INTERVAL_S": 0.3,
    "CHECKPOINT_INTERVAL_S": 1,
    "STATUS_INTERVAL_S": 0.3,
    "ALERTS": {"gap_s": 10, "max_records": 64, "max_duration_s": 600, "false_alarms_per_day": 200},
    # Event time in seconds; the records' times run a few dozen times as fast as life.
    "LEARNING": {"warm_up_s": 60, "quarantine_s": 20, "bucket_s": 5, "min_records": 200, "min_holdout": 60},
}


@dataclass
class Node:
    """An edge node, its topic of records and its ledger."""

    name: str
    topic: str
    state_dir: Path
    ledger: Path
    service: Service
    feeder: Feeder | None = None

    @property
    def group(self) -> str:
        """Under which it commits."""
        return f"streamgauge-edge.{self.name.replace('/', '.')}"


@dataclass(frozen=True)
class Clusters:
    """The site's own broker and the shared one; they may be the same."""

    records: Site
    federation: Site

    @classmethod
    def one(cls, broker: LocalBroker, prefix: str) -> Clusters:
        """Both on one broker."""
        return cls(Site(broker, prefix), Site(broker, prefix))


@dataclass
class World:
    """The processes of one federation; nothing runs until `start`.

    Args:
        clusters: where its topics are.
        directory: for keys, state and logs.
        names: of the nodes, site/worker.
        detector: of the federation.
    """

    clusters: Clusters
    directory: Path
    names: tuple[str, ...] = ("site-a/1", "site-b/1")
    detector: str = "autoencoder"
    profile: Path | None = None
    nodes: list[Node] = field(default_factory=list)
    verdicts: dict[str, str] = field(default_factory=dict)
    """The newest one on each alert that was judged."""

    def __post_init__(self) -> None:
        keys = self.directory / "keys"
        _, self._aggregator_key = create_key(keys, "aggregator")
        self.profile = self.profile or write_profile(self.directory)
        self._common: dict[str, object] = {
            "TOPIC_PREFIX": self.clusters.records.topics.prefix,
            "FEDERATION": "kills",
            "LOG_LEVEL": "warning",
        }
        self.nodes = [self._node(name) for name in self.names]
        self.clusters.records.create(*(node.topic for node in self.nodes), partitions=PARTITIONS)
        self.aggregator = self._aggregator()
        self.api = self._api()

    def _node(self, name: str) -> Node:
        private, public = create_key(self.directory / "keys", name)
        enrol(public, self.directory / "enrolled")
        plain = name.replace("/", "-")
        topic, state_dir = f"{self.clusters.records.topics.prefix}records-{plain}", self.directory / plain
        ledger = self.directory / f"{plain}.ledger"
        settings = self._common | EDGE_SETTINGS
        settings |= {
            "NODE": name,
            "TOPICS": [topic],
            "RECORDS__BOOTSTRAP_SERVERS": self.clusters.records.servers,
            "FEDERATION_CLUSTER__BOOTSTRAP_SERVERS": self.clusters.federation.servers,
            "PROFILE": str(self.profile),
            "STATE_DIR": str(state_dir),
            "KEY_FILE": str(private),
            "AGGREGATOR_KEY_FILE": str(self._aggregator_key),
            "DETECTOR": self.detector,
        }
        service = Service(f"edge-{plain}", EDGE, settings, self.directory, {LEDGER: str(ledger)})
        return Node(name, topic, state_dir, ledger, service)

    def _aggregator(self) -> Service:
        settings = self._common | AGGREGATOR_SETTINGS
        settings |= {
            "FEDERATION_CLUSTER__BOOTSTRAP_SERVERS": self.clusters.federation.servers,
            "STATE_DIR": str(self.directory / "aggregator"),
            "SIGNING_KEY_FILE": str(self.directory / "keys" / "aggregator.key"),
            "NODES_KEYS_DIR": str(self.directory / "enrolled"),
            "DETECTOR": self.detector,
            "MIN_NODES": len(self.names),
        }
        return Service("aggregator", AGGREGATOR, settings, self.directory)

    def _api(self) -> Service:
        settings = self._common | {
            "RECORDS": [{"bootstrap_servers": self.clusters.records.servers}],
            "FEDERATION_CLUSTER__BOOTSTRAP_SERVERS": self.clusters.federation.servers,
            "STATE_DIR": str(self.directory / "api"),
            "AGGREGATOR_KEY_FILE": str(self._aggregator_key),
            "NODES_KEYS_DIR": str(self.directory / "enrolled"),
        }
        return Service("api", API, settings, self.directory)

    @property
    def services(self) -> list[Service]:
        """All processes."""
        return [self.aggregator, self.api, *(node.service for node in self.nodes)]

    def start(self, streams: Iterable[Iterable[Outgoing]], per_s: int) -> None:
        """Start everything; each node's stream flows at `per_s` records a second."""
        for node, stream in zip(self.nodes, streams, strict=True):
            node.feeder = Feeder(self.clusters.records, stream, per_s)
            node.feeder.start()
        for service in self.services:
            service.start()

    def until_released(self, number: int) -> None:
        """Wait until all nodes have a release of at least this number in force, and the API knows it."""

        def released() -> bool:
            self.assert_all_run()
            nodes = json.loads(self.api.get("/nodes") or '{"items": []}')["items"]
            return len(nodes) == len(self.nodes) and all(n["status"]["release_seq"] >= number for n in nodes)

        until(released, self.log_tails)

    def until_alerts(self) -> None:
        """Wait until the API shows alerts."""
        until(lambda: alerts_in(self.api), self.log_tails)

    def judge(self, chance: random.Random, node: str | None = None) -> None:
        """Give a verdict on some alert that the API shows, of a node if it is named, until it is answered."""

        def alerts() -> list[str]:
            shown = alerts_in(self.api) or {}
            return sorted(key for key, alert in shown.items() if node in (None, alert.node))

        alert, kind = chance.choice(until(alerts, self.log_tails)), chance.choice(("attack", "false_alarm"))
        until(
            lambda: self.api.post(f"/alerts/{alert}/verdict", {"verdict": kind, "by": "chance"}), self.api.log_tail
        )
        self.verdicts[alert] = kind

    def until_judged(self, chance: random.Random) -> None:
        """One more verdict on an alert of each node; once it is handled, all before it are, too."""
        for node in self.nodes:
            self._judge_one(node, chance)

    def _judge_one(self, node: Node, chance: random.Random) -> None:
        def handled() -> float:
            return node.service.metric("streamgauge_edge_verdicts_total")

        node.service.until_ready()
        before = handled()
        self.judge(chance, node.name)
        until(lambda: handled() > before, node.service.log_tail)

    def release_seq(self) -> int:
        """The newest release, by its topic."""
        releases = self.messages(self.clusters.federation.topics.releases, Release)
        return max((release.release_seq for _, release in releases), default=0)

    def assert_all_run(self) -> None:
        """No process may end by itself."""
        for service in self.services:
            assert service.running, f"{service.name} ended by itself: {service.log_tail()}"

    def until_all_read(self) -> None:
        """End the streams and wait until every node has handled its own."""
        for node in self.nodes:
            assert node.feeder is not None
            node.feeder.finish()
        for node in self.nodes:
            site = self.clusters.records
            until(partial(site.has_committed, node.group, site.ends(node.topic)), node.service.log_tail)

    def stop_all_but_the_api(self) -> None:
        """End well, the nodes first; the API still answers."""
        for service in (*(node.service for node in self.nodes), self.aggregator):
            service.until_ready()
            service.stop()

    def close(self) -> None:
        """Kill what still runs."""
        for node in self.nodes:
            if node.feeder is not None and node.feeder.is_alive():
                node.feeder.finish()
        for service in self.services:
            service.kill()

    def log_tails(self) -> str:
        """The end of each process's output."""
        return "\n".join(f"== {service.name}\n{service.log_tail()}" for service in self.services)

    def messages(self, topic: str, kind: type[M]) -> list[tuple[LogRecord, M]]:
        """Messages of a kind in a topic of the federation, in order."""
        opened = [(record, open_envelope(record, None)) for record in self.clusters.federation.read(topic)]
        return [(record, read_message(kind, each)) for record, each in opened if each.type == kind.TYPE]


def plant_streams(world: World, total: int) -> list[list[Outgoing]]:
    """A stream for each node, of which the first tenth is all normal; ten records a second of event time."""
    return [
        list(messages(node.topic, plant_records(total, seed, step_s=0.1), PARTITIONS))
        for seed, node in enumerate(world.nodes)
    ]


def kill_somebody(world: World, victim: Service, chance: random.Random) -> None:
    """Kill a process in mid-work and start it again at once; an edge node's may die at one of its steps."""
    threading.Event().wait(chance.uniform(0.2, 2.0))
    world.assert_all_run()
    edges = [node.service for node in world.nodes]
    if victim not in edges or chance.random() < 0.7:
        victim.restart_after_kill()
        return
    victim.kill()
    step, number = chance.choice((*STEPS, *ROUND_STEPS)), chance.randint(1, 8)
    victim.start(**{KILL_AT: f"{step}:{number}"})
    threading.Event().wait(chance.uniform(3.0, 8.0))  # it may not come to that step: then it dies where it is
    victim.kill()
    victim.assert_killed()
    victim.start()
