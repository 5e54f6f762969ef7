"""Which broker the tests use.

In this order: `KAFKA_BOOTSTRAP_SERVERS`; testcontainers if a Docker engine answers; Apache Kafka from Maven
Central if Java 17 and Maven are there; the embedded broker.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from services.runtime.brokers import LocalBroker, embedded, kafka
from services.runtime.brokers.process import free_port
from services.runtime.errors import BrokerError
from services.runtime.settings import ClusterSettings

DOCKER_SOCKET = Path("/var/run/docker.sock")
KAFKA_IMAGE = f"apache/kafka:{kafka.VERSION}"


class ExternalBroker:
    """A broker that somebody else runs; tests may use it but not stop it."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.name = f"KAFKA_BOOTSTRAP_SERVERS={bootstrap_servers}"
        self.bootstrap_servers = bootstrap_servers

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def kill(self) -> None:
        raise BrokerError("this broker is not ours")

    def restart(self) -> None:
        raise BrokerError("this broker is not ours")


class ContainerBroker:
    """Apache Kafka in a container."""

    name = f"container {KAFKA_IMAGE}"

    def __init__(self) -> None:
        self._port = free_port()
        self._container: Any = None

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        from testcontainers.core.container import DockerContainer
        from testcontainers.core.wait_strategies import LogMessageWaitStrategy

        listeners = f"PLAINTEXT://:{self._port},CONTROLLER://:9093"
        environment = {
            "KAFKA_NODE_ID": "1",
            "KAFKA_PROCESS_ROLES": "broker,controller",
            "KAFKA_LISTENERS": listeners,
            "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{self.bootstrap_servers}",
            "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
            "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
            "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
            "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
            "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
            "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        }
        container = DockerContainer(KAFKA_IMAGE).with_bind_ports(self._port, self._port)
        for name, value in environment.items():
            container = container.with_env(name, value)
        self._container = container.waiting_for(LogMessageWaitStrategy("Kafka Server started"))
        self._container.start()

    def stop(self) -> None:
        if self._container is not None:
            self._container.stop()

    def kill(self) -> None:
        raise BrokerError("tests that kill a broker use Apache Kafka from Maven Central")

    def restart(self) -> None:
        raise BrokerError("tests that restart a broker use Apache Kafka from Maven Central")


@dataclass(frozen=True)
class Choice:
    """A broker that can be had, or the reason why not."""

    make: Callable[[Path], LocalBroker] | None
    text: str


@cache
def real_kafka() -> Choice:
    """The real Kafka that the tests use."""
    if servers := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        return Choice(lambda _: ExternalBroker(servers), f"KAFKA_BOOTSTRAP_SERVERS={servers}")
    if _docker_answers():
        return Choice(lambda _: ContainerBroker(), ContainerBroker.name)
    lack = kafka.missing()
    if lack is None:
        return Choice(kafka.KafkaBroker, f"{kafka.KafkaBroker.name} from Maven Central")
    return Choice(None, f"no real Kafka: KAFKA_BOOTSTRAP_SERVERS is not set, no Docker engine answers, {lack}")


@cache
def embedded_choice() -> Choice:
    """The embedded broker, if its package is there."""
    lack = embedded.missing()
    return Choice(embedded.EmbeddedBroker, embedded.EmbeddedBroker.name) if lack is None else Choice(None, lack)


def header() -> str:
    """The line for pytest's header."""
    chosen, other = real_kafka(), embedded_choice()
    kafka_text = chosen.text if chosen.make else f"none ({chosen.text})"
    return f"brokers: Kafka: {kafka_text}; embedded: {'yes' if other.make else other.text}"


def _docker_answers() -> bool:
    if not DOCKER_SOCKET.exists():
        return False
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(2)
            probe.connect(str(DOCKER_SOCKET))
            probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b"200" in probe.recv(200)
    except OSError:
        return False


def cluster_of(broker: LocalBroker) -> ClusterSettings:
    """Client settings for tests: short group time-outs."""
    return ClusterSettings(bootstrap_servers=broker.bootstrap_servers, session_timeout_s=6, heartbeat_s=1.5)
