"""Ports and readiness of local brokers."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from services.runtime.errors import BrokerError
from services.runtime.kafka import open_admin
from services.runtime.processes import Child
from services.runtime.settings import ClusterSettings


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(child: Child, bootstrap_servers: str, name: str, timeout_s: float) -> None:
    """Wait until a broker answers Kafka's protocol.

    Raises:
        BrokerError: it ended, or did not answer in time; with the last lines of its output.
    """
    wait_for(
        lambda: _answers(bootstrap_servers),
        alive=lambda: child.running,
        timeout_s=timeout_s,
        failed=lambda: f"{name} did not start: {child.output() or 'no output'}",
    )


def wait_for(
    done: Callable[[], bool], *, alive: Callable[[], bool], timeout_s: float, failed: Callable[[], str]
) -> None:
    """Poll `done` until it is true; BrokerError with `failed()` once `alive` is false or time is over."""
    deadline = time.monotonic() + timeout_s
    while not done():
        if not alive() or time.monotonic() > deadline:
            raise BrokerError(failed())
        time.sleep(0.05)


def _answers(bootstrap_servers: str) -> bool:
    host, _, port = bootstrap_servers.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
        cluster = ClusterSettings(bootstrap_servers=bootstrap_servers, request_timeout_s=2)
        with open_admin(cluster, client_id="streamgauge-ready") as admin:
            admin.names()
            return True
    except (OSError, BrokerError):
        return False
