"""The README's way to one's own data, walked: keys, settings and commands as written, to the first alert."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.runtime.brokers import LocalBroker
from services.runtime.brokers.process import free_port
from services.runtime.kafka import open_producer
from services.runtime.log import Outgoing
from services.runtime.processes import Child
from tests.brokers import cluster_of
from tests.unit.docs.pages import ROOT, blocks
from tests.unit.docs.test_own_data import EXAMPLES, variables

DEADLINE_S = 240.0
"""Generous: a busy machine must not fail a test; on a quiet one the whole walk takes 20 s."""
START_S = 1_769_846_400.0
MACHINES = [f"press-{number}" for number in range(4)]
STEP_S = 5.0
HOURS = 3.0
STREAMGAUGE = [sys.executable, "-m", "services.cli"]


def records(start_s: float, hours: float, seed: int) -> Iterator[dict[str, Any]]:
    """Presses at work: pressure and oil follow the load of the hour."""
    rng = np.random.default_rng(seed)
    for at in np.arange(start_s, start_s + 3600 * hours, STEP_S).tolist():
        load = 0.5 + 0.4 * np.sin(at / 900)
        for machine in MACHINES:
            yield {
                "at": datetime.fromtimestamp(at, UTC).isoformat(),
                "machine": machine,
                "pressure_bar": 200 * load + rng.normal(0, 4),
                "temp_c": 40 + 20 * load + rng.normal(0, 1),
                "cycles": int(rng.poisson(12 * load)),
                "mode": "auto",
                "order": "A-17",
            }


class Plant:
    """The machine of the example: a directory with `var/keys`, the services, their logs."""

    def __init__(self, directory: Path, broker: LocalBroker, prefix: str, stack: ExitStack) -> None:
        self._directory, self._stack, self.api_port = directory, stack, free_port()
        self._cluster, self.topic = cluster_of(broker), f"{prefix}press"
        self._changes = {"BOOTSTRAP_SERVERS": broker.bootstrap_servers, "TOPIC_PREFIX": prefix}
        self._changes |= {"TOPICS": json.dumps([self.topic]), "PORT": str(self.api_port), "METRICS_PORT": "0"}
        self._changes |= {"PROFILE": str(EXAMPLES / "press.toml")}

    def environment(self, name: str) -> dict[str, str]:
        """The example's settings, with this test's broker, ports and topics."""
        prefix = f"STREAMGAUGE_{name.upper()}_"
        wanted = variables(EXAMPLES / f"{name}.env") | {f"{prefix}TOPIC_PREFIX": ""}
        wanted |= {f"{prefix}PORT": ""} if name == "api" else {}
        changed = {key: self._change(key.removeprefix(prefix), value) for key, value in wanted.items()}
        kept = {key: value for key, value in os.environ.items() if not key.startswith("STREAMGAUGE_")}
        return {**kept, **changed, "PYTHONPATH": str(ROOT)}

    def _change(self, name: str, value: str) -> str:
        return self._changes.get(name.rpartition("__")[2], value)

    def run(self, line: str, name: str = "edge") -> Child:
        """Run a command of the README."""
        arguments = shlex.split(line)[1:]
        log = self._directory / f"{'-'.join(arguments[:2]).replace('/', '-')}.log"
        child = Child([*STREAMGAUGE, *arguments], log, self._directory, self.environment(name))
        self._stack.callback(child.stop, 20)
        return child

    def create_topic(self, line: str) -> None:
        """The README's command, for this test's broker and topic."""
        words = shlex.split(line.replace("127.0.0.1:9092", self._cluster.bootstrap_servers))[1:]
        words = [self.topic if word == "press.measurements" else word for word in words]
        done = subprocess.run([sys.executable, "-W", "ignore", *words], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr

    def finish(self, line: str) -> Child:
        """Run a command that ends."""
        child = self.run(line)
        until(lambda: not child.running, child)
        return child

    def send(self, values: Iterator[dict[str, Any]]) -> None:
        producer = open_producer(self._cluster, client_id="collector", stop=threading.Event())
        body = [Outgoing(self.topic, v["machine"].encode(), json.dumps(v).encode()) for v in values]
        producer.deliver(body)
        producer.close()

    def ask(self, path: str) -> list[dict[str, Any]]:
        """The items of an answer; none while the API does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.api_port}{path}", timeout=5) as answer:
                items: list[dict[str, Any]] = json.load(answer)["items"]
                return items
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return []


def until(condition: Callable[[], object], *running: Child) -> None:
    """Wait for a condition; fails with the services' last words."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "\n".join(child.output() for child in running)
        time.sleep(0.1)


@pytest.fixture
def plant(tmp_path: Path, best_broker: LocalBroker, topic_prefix: str) -> Iterator[Plant]:
    with ExitStack() as stack:
        yield Plant(tmp_path, best_broker, topic_prefix, stack)


def lines(word: str, program: str = "streamgauge") -> list[str]:
    """Commands of the README's blocks that hold `word`."""
    found = [line for b in blocks("sh", "README.md") if word in b.text for line in b.text.splitlines()]
    return [line for line in found if line.startswith(f"{program} ")]


def test_the_readmes_example_leads_to_an_alert(plant: Plant) -> None:
    (creation,) = lines("topics create", "python")
    plant.create_topic(creation)
    for line in lines("keys create"):
        assert plant.finish(line).exit_code == 0
    plant.send(records(START_S, HOURS, seed=1))
    services = {"aggregator": "aggregator", "edge": "edge-node", "api": "api"}
    running = [
        plant.run(line, name)
        for name, command in services.items()
        for line in lines(f"examples/{name}.env")
        if line == f"streamgauge {command}"
    ]
    assert len(running) == 3
    until(lambda: [node for node in plant.ask("/nodes") if node["status"]["phase"] == "watching"], *running)
    doctor = plant.finish("streamgauge doctor")
    assert doctor.exit_code == 0, doctor.output()
    later = START_S + 3600 * HOURS
    sick = (
        {**r, "pressure_bar": 5.0, "temp_c": 140.0} for r in records(later, 0.05, 2) if r["machine"] == "press-2"
    )
    plant.send(sick)
    (question,) = re.findall(
        r"curl 'http://[^/]+(/alerts[^']*)'", "\n".join(b.text for b in blocks("sh", "README.md"))
    )
    until(lambda: [alert for alert in plant.ask(question) if alert["entity"] == "press-2"], *running)
    alert = next(alert for alert in plant.ask(question) if alert["entity"] == "press-2")
    assert (alert["site"], alert["context"]) == ("plant-a", {"order": "A-17"})
    assert {feature["name"] for feature in alert["features"]} & {"pressure", "oil_temperature"}
    for child in running:
        child.stop(20)
    assert [child.exit_code for child in running] == [0, 0, 0]
