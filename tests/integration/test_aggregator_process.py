"""The aggregator as a process of its own on a real broker, killed in mid-work."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from tenacity import retry, stop_after_delay, wait_fixed

from schemas import ModelArtefact
from services.runtime.brokers import LocalBroker
from services.runtime.brokers.process import free_port
from services.runtime.kafka import open_consumer, open_producer
from services.runtime.log import Consumer, LogRecord, Outgoing, Partition, Sent
from services.runtime.settings import ClusterSettings
from services.runtime.signing import create_key, load_signing_key, load_verify_key
from services.runtime.topics import Topics, ensure_topics
from tests.integration.aggregator_world import FEDERATION, Arrays, Node, open_artefact

DEADLINE_S = 60.0


class Federation:
    """Scripted nodes and an aggregator process on one broker."""

    def __init__(self, directory: Path, cluster: ClusterSettings, prefix: str) -> None:
        self.topics = Topics(prefix)
        self.cluster = cluster
        ensure_topics(cluster, self.topics.federation_specs(update_partitions=2))
        private, public = create_key(directory / "keys", "aggregator")
        self.aggregator_keys = {"aggregator": load_verify_key(public)}
        self._enrolled = directory / "enrolled"
        self._enrolled.mkdir()
        self._keys = directory / "keys"
        self._producer = open_producer(cluster, client_id="test", stop=threading.Event())
        self._consumers: list[Consumer] = []
        self._models = self.consumer()
        self.nodes = [self._node(name) for name in ("a/1", "b/1", "c/1")]
        self.port = free_port()
        self._environment = {
            "FEDERATION_CLUSTER__BOOTSTRAP_SERVERS": cluster.bootstrap_servers,
            "TOPIC_PREFIX": prefix,
            "FEDERATION": FEDERATION,
            "SIGNING_KEY_FILE": str(private),
            "NODES_KEYS_DIR": str(self._enrolled),
            "STATE_DIR": str(directory / "state"),
            "METRICS_PORT": str(self.port),
            "MIN_NODES": "3",
            "ROUND_INTERVAL_S": "0.5",
            "UPDATE_TIMEOUT_S": "5",
            "VOTE_TIMEOUT_S": "5",
            "RETRY_INTERVAL_S": "2",
            "NODE_TIMEOUT_S": "20",
        }
        self.process = self.start()

    @property
    def now(self) -> float:
        return time.time()

    @now.setter
    def now(self, value: float) -> None:
        raise AttributeError("real time cannot be set")

    def _node(self, name: str) -> Node:
        private, public = create_key(self._keys, name)
        shutil.copy(public, self._enrolled)
        return Node(self, name, load_signing_key(private))

    def start(self) -> subprocess.Popen[bytes]:
        environment = {f"STREAMGAUGE_AGGREGATOR_{name}": value for name, value in self._environment.items()}
        command = [sys.executable, "-m", "services.aggregator.main"]
        self.process = subprocess.Popen(command, env={**os.environ, **environment})
        return self.process

    def consumer(self) -> Consumer:
        consumer = open_consumer(self.cluster, client_id="test")
        self._consumers.append(consumer)
        return consumer

    def send(self, outgoing: Outgoing) -> Sent:
        return self._producer.deliver([outgoing])[0]

    def artefact(self, offset: int, name: str) -> tuple[ModelArtefact, Arrays]:
        at = Partition(self.topics.models, 0)
        self._models.assign({at: offset})
        records: list[LogRecord] = []
        deadline = time.monotonic() + DEADLINE_S
        while not records and time.monotonic() < deadline:
            records = list(self._models.poll(1.0).records.get(at, ()))
        assert records[0].offset == offset
        return open_artefact(records[0], self.aggregator_keys, name)

    def until(self, done: Callable[[], bool]) -> None:
        """The nodes work until it is true."""
        deadline = time.monotonic() + DEADLINE_S
        while not done():
            assert time.monotonic() < deadline, f"closed: {self.nodes[0].closed}"
            for node in self.nodes:
                node.step(wait_s=0.05)
            if self.process.poll() is not None:
                raise AssertionError(f"the aggregator ended with {self.process.returncode}")

    def released(self) -> int:
        return min(node.release.release_seq if node.release else 0 for node in self.nodes)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._producer.close()
        for consumer in self._consumers:
            consumer.close()


@pytest.fixture
def federation(tmp_path: Path, best_broker: LocalBroker, topic_prefix: str) -> Iterator[Federation]:
    cluster = ClusterSettings(bootstrap_servers=best_broker.bootstrap_servers)
    federation = Federation(tmp_path, cluster, topic_prefix)
    yield federation
    federation.close()


@retry(stop=stop_after_delay(DEADLINE_S), wait=wait_fixed(0.1), reraise=True)
def _get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
        text: str = response.read().decode()
        return text


def _is_past(moment: float) -> bool:
    return time.monotonic() >= moment


def _has_released(federation: Federation, goal: int) -> bool:
    return federation.released() >= goal


def test_kill_9_in_mid_round_loses_no_release(federation: Federation) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")
    chance = random.Random(seed)
    assert _get(federation.port, "/readyz") == "ok\n"
    for _ in range(3):
        federation.until(partial(_is_past, time.monotonic() + chance.uniform(0.2, 2.0)))
        federation.process.kill()
        federation.process.wait()
        federation.start()
        federation.until(partial(_has_released, federation, federation.released() + 2))
    closed = federation.nodes[0].closed
    assert {c.release_seq for c in closed.values() if c.outcome == "released"} >= {1, 2, 3}
    assert "streamgauge_aggregator_release_seq" in _get(federation.port, "/metrics")
    federation.process.send_signal(signal.SIGTERM)
    assert federation.process.wait(timeout=30) == 0


def test_a_wrong_setting_ends_with_one_line_and_code_2(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "STREAMGAUGE_AGGREGATOR_FEDERATION_CLUSTER__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "STREAMGAUGE_AGGREGATOR_SIGNING_KEY_FILE": str(tmp_path / "no.key"),
        "STREAMGAUGE_AGGREGATOR_NODES_KEYS_DIR": str(tmp_path),
        "STREAMGAUGE_AGGREGATOR_STATE_DIR": str(tmp_path),
        "STREAMGAUGE_AGGREGATOR_QUORUM": "3",
    }
    command = [sys.executable, "-m", "services.aggregator.main"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr.strip() == "STREAMGAUGE_AGGREGATOR_QUORUM=3: Input should be less than or equal to 1"
