"""One site with everything on: aggregator, edge node, keys, topics; processes started and watched from here."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from benchmarks.speed.sensors import write_profile
from services.keys import enrol
from services.runtime.brokers.process import free_port
from services.runtime.kafka import open_admin, open_consumer
from services.runtime.processes import Child
from services.runtime.settings import ClusterSettings
from services.runtime.signing import create_key
from services.runtime.topics import Topics, TopicSpec, ensure_topics

PROJECT = Path(__file__).resolve().parents[2]
PARTITIONS = 4
NODE = "bench/1"
POLL_S = 0.25
LEARN_S = 600.0
"""Quarantine in event time; there are 100 records a second of event time."""
SETUP_RECORDS = 180_000
SCORED = 'streamgauge_edge_records_total{outcome="scored"}'
"""Counts from the start of each process."""
READY = "ready"
"""Printed by the bare loop once it reads."""
FOR_EVER = str((1 << 63) - 1)


class NotInTimeError(RuntimeError):
    """Something that a measurement waits for did not happen; the message says what."""


def wait_for(happened: Callable[[], bool], what: str, timeout_s: float, alive: Callable[[], Any]) -> None:
    """Poll until it happened.

    Raises:
        NotInTimeError: it did not within `timeout_s`, or `alive` says no before.
    """
    deadline = time.monotonic() + timeout_s
    while not happened():
        if time.monotonic() > deadline or not alive():
            raise NotInTimeError(f"{what}: not within {timeout_s:g} s, or a process ended")
        time.sleep(POLL_S)


def run_json(module: str, *arguments: str) -> dict[str, Any]:
    """Run one of the other processes of this bench; its last line is JSON."""
    command = [sys.executable, "-m", f"benchmarks.speed.{module}", *arguments]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotInTimeError(f"{module} {' '.join(arguments)} failed: {done.stderr[-1500:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def total(text: str, name: str) -> float:
    """Sum of a metric of Prometheus' text over all its series, or over those with one label: name{a="b"}."""
    metric, _, label = name.removesuffix("}").partition("{")
    labels = rf"\{{[^}}]*{re.escape(label)}[^}}]*\}}"
    pattern = rf"^{re.escape(metric)}{labels if label else f'(?:{labels})?'} (\S+)$"
    return float(sum(map(float, re.findall(pattern, text, re.MULTILINE))))


@dataclass
class Service:
    """A running service of the site."""

    child: Child
    metrics_port: int

    def metric(self, name: str) -> float:
        """Sum over the series of a name, or of those with its label; 0 while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return 0.0
        return total(text, name)

    def wait(self, name: str, value: float, timeout_s: float) -> None:
        """Until a metric is at least `value`."""
        what = f"{name} >= {value:g} of {self.child.log_file.name} ({self.child.output()})"
        wait_for(lambda: self.metric(name) >= value, what, timeout_s, lambda: self.child.running)


@dataclass
class Site:
    """Directory, keys and topics of one site on one broker.

    Attributes:
        bootstrap: of the broker; records and federation share it.
        directory: for state, logs and results.
        prefix: of the topics, so that a broker in use can serve.
    """

    bootstrap: str
    directory: Path
    prefix: str = field(default_factory=lambda: f"bench{uuid4().hex[:8]}.")

    def __post_init__(self) -> None:
        self.profile = write_profile(self.directory)
        keys = self.directory / "keys"
        create_key(keys, "aggregator")
        _, public = create_key(keys, NODE)
        enrol(public, keys / "nodes")
        topics = Topics(self.prefix)
        self._cluster = ClusterSettings(bootstrap_servers=self.bootstrap)
        ensure_topics(self._cluster, (*topics.records_specs(), *topics.federation_specs()))

    def topic(self, name: str) -> str:
        """A new topic of records."""
        full = f"{self.prefix}{name}-{uuid4().hex[:8]}"
        ensure_topics(self._cluster, [TopicSpec(full, PARTITIONS, {"message.timestamp.after.max.ms": FOR_EVER})])
        return full

    def delete_topics(self) -> None:
        """Leave nothing behind on a broker that others use."""
        with open_admin(self._cluster, client_id="bench") as admin:
            admin.delete(name for name in admin.names() if name.startswith(self.prefix))

    def fill(self, topic: str, n: int, abnormal: float = 0.0, rate: float = 0.0, **more: int | Path) -> float:
        """Send n records; returns by how many seconds the load was late at worst."""
        options = {"bootstrap": self.bootstrap, "topic": topic, "partitions": PARTITIONS, "n": n, "rate": rate}
        options |= {"abnormal": abnormal, **more}
        arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        return float(run_json("load", *arguments)["late_s"])

    def dead_letters(self) -> dict[str, str]:
        """Position -> reason of all dead letters so far; an inconsistent repeat would show as another reason."""
        found: dict[str, str] = {}
        topic = Topics(self.prefix).dead_letters
        consumer = open_consumer(self._cluster, client_id="bench")
        try:
            ends = {partition: consumer.end(partition) for partition in consumer.partitions(topic)}
            consumer.assign(dict.fromkeys(ends, 0))
            left = sum(ends.values())
            while left > 0:
                for batch in consumer.poll(1.0).records.values():
                    left -= len(batch)
                    for headers in (dict(record.headers) for record in batch):
                        found[headers["sg_position"].decode()] = headers["sg_reason"].decode()
        finally:
            consumer.close()
        return found

    def aggregator(self, **changes: Any) -> Service:
        """Start the aggregator; it keeps its state over the runs."""
        keys = self.directory / "keys"
        settings = {
            "FEDERATION_CLUSTER__BOOTSTRAP_SERVERS": self.bootstrap,
            "STATE_DIR": self.directory / "aggregator",
            "SIGNING_KEY_FILE": keys / "aggregator.key",
            "NODES_KEYS_DIR": keys / "nodes",
            "MIN_NODES": 1,
            "EPOCHS": 10,
            "LEARNING_RATE": 0.002,
            "RETRY_INTERVAL_S": 1,
            "UPDATE_TIMEOUT_S": 60,
            "VOTE_TIMEOUT_S": 30,
            **changes,
        }
        return self._start("aggregator", "services.aggregator.main", "AGGREGATOR", settings)

    def node(self, topic: str, out: Path, state: Path, **changes: Any) -> Service:
        """Start the edge node with the stopwatch."""
        keys = self.directory / "keys"
        settings = {
            "NODE": NODE,
            "RECORDS__BOOTSTRAP_SERVERS": self.bootstrap,
            "FEDERATION_CLUSTER__BOOTSTRAP_SERVERS": self.bootstrap,
            "TOPICS": json.dumps([topic]),
            "PROFILE": self.profile,
            "STATE_DIR": state,
            "KEY_FILE": keys / "bench__1.key",
            "AGGREGATOR_KEY_FILE": keys / "aggregator.pub",
            "LEARNING": json.dumps({"warm_up_s": LEARN_S, "quarantine_s": LEARN_S}),
            **changes,
        }
        return self._start(out.stem, "benchmarks.speed.node", "EDGE", settings, str(out))

    def api(self) -> Service:
        """Start the API."""
        keys = self.directory / "keys"
        settings = {
            "RECORDS": json.dumps([{"bootstrap_servers": self.bootstrap}]),
            "FEDERATION_CLUSTER__BOOTSTRAP_SERVERS": self.bootstrap,
            "STATE_DIR": self.directory / "api",
            "PORT": free_port(),
            "AGGREGATOR_KEY_FILE": keys / "aggregator.pub",
            "NODES_KEYS_DIR": keys / "nodes",
        }
        return self._start("api", "services.api.main", "API", settings)

    def _start(self, name: str, module: str, service: str, settings: Mapping[str, Any], *more: str) -> Service:
        port = free_port()
        common = {"TOPIC_PREFIX": self.prefix, "FEDERATION": "bench", "METRICS_PORT": port, "LOG_LEVEL": "warning"}
        environment = {k: v for k, v in os.environ.items() if not k.startswith("STREAMGAUGE_")}
        environment |= {f"STREAMGAUGE_{service}_{k}": str(v) for k, v in {**common, **settings}.items()}
        command = [sys.executable, "-m", module, *more]
        return Service(Child(command, self.directory / f"{name}.log", PROJECT, environment), port)

    @property
    def checkpoint(self) -> Path:
        """Of the node that watches."""
        return self.directory / "state" / "checkpoint.safetensors"

    def bare(self, topic: str, n: int, out: Path) -> Child:
        """Start the bare loop, which ends after n records."""
        options = {"bootstrap": self.bootstrap, "topic": topic, "partitions": PARTITIONS, "n": n}
        options |= {"profile": self.profile, "checkpoint": self.checkpoint, "out": out}
        arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        command = [sys.executable, "-m", "benchmarks.speed.bare", *arguments]
        return Child(command, self.directory / f"{out.stem}.log", PROJECT)

    def prepared_state(self, name: str) -> Path:
        """A copy of the state of a node that watches, for one run."""
        return Path(shutil.copytree(self.directory / "state", self.directory / name))


def prepare(site: Site) -> Service:
    """Let a node learn, agree, train, vote and calibrate; its state stays in ``state``. The aggregator goes on."""
    aggregator = site.aggregator()
    topic = site.topic("setup")
    site.fill(topic, SETUP_RECORDS)
    node = site.node(topic, site.directory / "setup.npz", site.directory / "state")
    node.wait('streamgauge_edge_phase{phase="watching"}', 1, 300)
    node.wait(SCORED, SETUP_RECORDS, 90)
    stop(node)
    return aggregator


def stop(service: Service) -> None:
    """SIGTERM, and wait."""
    service.child.stop(120)


def results(path: Path) -> dict[str, Any]:
    """What a node or a load noted.

    Raises:
        NotInTimeError: it was killed before it wrote.
    """
    if not path.exists():
        raise NotInTimeError(f"{path.name} was not written: the process was killed or failed at its end")
    with np.load(path) as arrays:
        return dict(arrays)
