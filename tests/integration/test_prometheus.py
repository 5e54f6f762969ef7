"""A real Prometheus with the configuration and rules of deploy/ scrapes the real services."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from services.runtime.brokers import LocalBroker
from services.runtime.brokers.process import free_port
from services.runtime.processes import die_with_parent
from services.runtime.signing import create_key

DEPLOY = Path(__file__).parents[2] / "deploy"
DEADLINE_S = 120.0
TOKEN = "t" * 24
RECORDS = 3000

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")


class Plant:
    """The processes of one site's node, aggregator, API and replay, each with its log in a file."""

    def __init__(self, directory: Path, servers: str, prefix: str) -> None:
        self.directory, self.servers, self.prefix = directory, servers, prefix
        self.ports = {name: free_port() for name in ("edge-node", "aggregator", "api", "prometheus")}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: list[str], variables: Mapping[str, object]) -> subprocess.Popen[bytes]:
        others = {key: value for key, value in os.environ.items() if not key.startswith("STREAMGAUGE_")}
        with (self.directory / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(
                command,
                env=others | {key: str(value) for key, value in variables.items()},
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,
            )
        return self._processes[name]

    def service(self, name: str, module: str, **settings: object) -> subprocess.Popen[bytes]:
        kind = module.split(".")[1].partition("_")[0].upper()
        known = settings | {"TOPIC_PREFIX": self.prefix, "STATE_DIR": self.directory / name}
        if name in self.ports and name != "api":
            known["METRICS_PORT"] = self.ports[name]
        variables = {f"STREAMGAUGE_{kind}_{key}": value for key, value in known.items()}
        return self.start(name, [sys.executable, "-m", module], variables)

    def log(self) -> str:
        return "\n".join(f"{p.name}:\n{p.read_text()[-1500:]}" for p in sorted(self.directory.glob("*.log")))

    def stop(self) -> dict[str, int]:
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        return {name: process.wait(30) for name, process in self._processes.items()}


@pytest.fixture
def plant(best_broker: LocalBroker, topic_prefix: str, tmp_path: Path) -> Iterator[Plant]:
    made = Plant(tmp_path, best_broker.bootstrap_servers, topic_prefix)
    yield made
    made.stop()


def start_services(plant: Plant) -> None:
    keys = plant.directory / "keys"
    own, pinned = create_key(keys / "own", "aggregator")
    node, _ = create_key(keys / "nodes", "site-a/edge")
    topic = f"{plant.prefix}site-a"
    words = f"replay nsl-kdd nsl-kdd-sample --topic {topic} --bursts default --max --every 0.001s"
    words += f" --stop-row {RECORDS} --bootstrap-servers {plant.servers}"
    replay = plant.start("replay", [sys.executable, "-m", "services.cli", *words.split()], {})
    assert replay.wait(DEADLINE_S) == 0, plant.log()  # then its topic is there
    cluster = {"FEDERATION_CLUSTER__BOOTSTRAP_SERVERS": plant.servers}
    plant.service(
        "aggregator", "services.aggregator.main", SIGNING_KEY_FILE=own, NODES_KEYS_DIR=keys / "nodes", **cluster
    )
    edge = {"NODE": "site-a/edge", "TOPICS": f'["{topic}"]', "PROFILE": "nsl-kdd", "STATUS_INTERVAL_S": 0.2}
    edge |= {"RECORDS__BOOTSTRAP_SERVERS": plant.servers, "AGGREGATOR_KEY_FILE": str(pinned)}
    plant.service("edge-node", "services.edge_node.main", KEY_FILE=node, **edge, **cluster)
    api = {"RECORDS__0__BOOTSTRAP_SERVERS": plant.servers, "API_TOKEN": TOKEN, "PORT": plant.ports["api"]}
    plant.service("api", "services.api.main", AGGREGATOR_KEY_FILE=pinned, **api, **cluster)


def start_prometheus(plant: Plant) -> None:
    """The configuration of deploy/, with one node, this machine's ports, and a scrape each second."""
    configuration = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    token = plant.directory / "token"
    token.write_text(TOKEN)
    configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    configuration["rule_files"] = [str(DEPLOY / "prometheus" / each) for each in configuration["rule_files"]]
    for job in configuration["scrape_configs"]:
        job["static_configs"] = job["static_configs"][:1]
        job["static_configs"][0]["targets"] = [f"127.0.0.1:{plant.ports[job['job_name']]}"]
        if "authorization" in job:
            job["authorization"]["credentials_file"] = str(token)
    file = plant.directory / "prometheus.yml"
    file.write_text(yaml.safe_dump(configuration))
    listen = f"--web.listen-address=127.0.0.1:{plant.ports['prometheus']}"
    storage = f"--storage.tsdb.path={plant.directory / 'tsdb'}"
    plant.start("prometheus", ["prometheus", f"--config.file={file}", storage, listen], {})


def ask(plant: Plant, path: str, **parameters: str) -> Any:
    """An answer of Prometheus' HTTP API; None while it does not listen yet."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{plant.ports['prometheus']}/api/v1/{path}", params=parameters)
    except httpx.TransportError:
        return None
    return answer.json()["data"] if answer.status_code == 200 else None


def value(plant: Plant, expression: str) -> float | None:
    """The value of an expression with one result, None without one."""
    answer = ask(plant, "query", query=expression)
    return float(answer["result"][0]["value"][1]) if answer and answer["result"] else None


def wait_for(plant: Plant, condition: Callable[[], bool], what: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what()}\n{plant.log()}"
        time.sleep(0.1)


def test_prometheus_sees_the_services_and_can_evaluate_every_rule(plant: Plant) -> None:
    start_services(plant)
    start_prometheus(plant)
    expected = {
        'up{job="edge-node", node="site-a/edge"}': 1,
        'up{job="aggregator"}': 1,
        'up{job="api"}': 1,
        'sum by (node) (streamgauge_edge_records_total{node="site-a/edge"})': RECORDS,
        "sum(streamgauge_edge_lag_records)": 0,
        "sum(streamgauge_edge_phase)": 1,
        "count(streamgauge_edge_last_checkpoint_timestamp_seconds > 0)": 1,
        'streamgauge_aggregator_nodes{state="alive"}': 1,
        "streamgauge_aggregator_release_seq": 0,
        "streamgauge_api_ready": 1,
        'count(streamgauge_api_node_silence_seconds{node="site-a/edge"} < 60)': 1,
    }
    wait_for(
        plant,
        lambda: all(value(plant, expression) == number for expression, number in expected.items()),
        lambda: {expression: value(plant, expression) for expression in expected},
    )
    wait_for(plant, lambda: all(rule["health"] == "ok" for rule in rules(plant)), lambda: rules(plant))
    firing = [rule["name"] for rule in rules(plant) if rule["state"] == "firing"]
    assert firing == [], "a healthy plant raises no alarm"
    ended = plant.stop()
    assert ended == dict.fromkeys(ended, 0), plant.log()


def rules(plant: Plant) -> list[dict[str, Any]]:
    found = [rule for group in ask(plant, "rules")["groups"] for rule in group["rules"]]
    assert len(found) >= 10
    return found
