"""What the tests of the edge node share: records good and bad, ledgers, waiting."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from services.edge_node.build import EdgeNode, Hooks
from services.edge_node.metrics import EdgeMetrics
from services.edge_node.node import Ledger
from services.edge_node.settings import EdgeSettings
from services.runtime.log import Outgoing, Partition
from services.runtime.memory import MemoryBroker
from streamgauge.stream.learning import Settled
from tests.support.edge import MemoryClients
from tests.support.plant import START_S

DEADLINE_S = 120.0


def good(i: int, machine: str = "machine-0", **changes: Any) -> dict[str, Any]:
    """A complete, normal record."""
    values = {
        "time": START_S + i,
        "machine": machine,
        "asset": "hall 1",
        "flow": 0.1,
        "level": 0.2,
        "pressure": 0.0,
    }
    return {**values, "power": 20.0, "mode": "auto", "label": "ok", **changes}


def bad_flow(i: int, machine: str = "machine-0", **changes: Any) -> dict[str, Any]:
    """A record far above the alarm line."""
    return good(i, machine, **{"flow": 9.0, "pressure": -9.0, **changes})


def raw(value: bytes | None, key: bytes | None = b"k", topic: str = "records", partition: int = 0) -> Outgoing:
    return Outgoing(topic, key, value, (), partition)


def send(broker: MemoryBroker, *records: dict[str, Any] | Outgoing, topic: str = "records") -> None:
    outgoing = [r if isinstance(r, Outgoing) else raw(json.dumps(r).encode(), topic=topic) for r in records]
    broker.producer().deliver(outgoing)


class Scored(Ledger):
    """Remembers which offsets were scored, in order, and what was learned."""

    def __init__(self) -> None:
        self.offsets: list[tuple[str, int]] = []
        self.settled_records: list[Settled] = []

    def scored(self, partition: Partition, offsets: NDArray[np.int64], scores: NDArray[np.float64]) -> None:
        self.offsets += [(str(partition), int(offset)) for offset in offsets]

    def settled(self, settled: Sequence[Settled]) -> None:
        self.settled_records += settled


class RunningNode:
    """An edge node whose turns the test takes one by one; close it, or leave it as a crash would."""

    def __init__(
        self,
        settings: EdgeSettings,
        broker: MemoryBroker,
        hooks: Hooks | None = None,
        metrics: EdgeMetrics | None = None,
    ) -> None:
        self.stop = threading.Event()
        metrics = metrics or EdgeMetrics(CollectorRegistry())
        self.edge = EdgeNode(settings, MemoryClients(broker), self.stop, metrics, hooks)
        self.loop = self.edge.loop
        self.edge.start()
        self.loop.sources.open()

    def turns(self, done: Callable[[], bool]) -> None:
        """Turn until `done`; fails at a deadline."""
        until(done, self.loop.turn)

    def crash(self) -> None:
        """End without saving or committing."""
        self.stop.set()
        self.edge.close()

    def end(self) -> None:
        """End as a service does."""
        self.loop.commit()
        self.loop.save()
        self.crash()


def until(done: Callable[[], bool], step: Callable[[], object] = lambda: threading.Event().wait(0.005)) -> None:
    """Repeat `step` until `done`; fails at a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not done():
        assert time.monotonic() < deadline, "did not happen in time"
        step()
