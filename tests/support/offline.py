"""The offline pass: the alerts that one undisturbed node makes of the same records, in this process."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas import Alert
from services.edge_node.build import Hooks
from services.edge_node.node import Ledger
from services.edge_node.settings import EdgeSettings
from services.runtime.log import Outgoing, Partition
from tests.support.edge import MemoryClients, alerts_of, at_end, memory_broker, run_until


class Nearest(Ledger):
    """How near a score came to the alarm line."""

    def __init__(self) -> None:
        self.distance = np.inf

    def scored(self, partition: Partition, offsets: NDArray[np.int64], scores: NDArray[np.float64]) -> None:
        if len(scores):
            self.distance = min(self.distance, float(np.abs(scores - 1.0).min()))


@dataclass(frozen=True)
class Offline:
    """What the pass gave."""

    alerts: dict[str, Alert]
    nearest: float


def offline_pass(
    settings: EdgeSettings, records: Iterable[Outgoing], partitions: int, incarnation: str
) -> Offline:
    """Score records with the settings' pinned bundle.

    Args:
        settings: as of the real node, with a state directory of its own.
        records: in the order in which they were sent.
        partitions: of their topic.
        incarnation: of the real topic: part of every id.
    """
    (topic,) = settings.topics
    broker = memory_broker(topic, partitions)
    broker.topics[topic].id = incarnation
    broker.producer().deliver(list(records))
    nearest = Nearest()
    run_until(settings, MemoryClients(broker), at_end, Hooks(ledger=nearest))
    return Offline(alerts_of(broker.records(f"{settings.topic_prefix}alerts")), nearest.distance)


def pinned_settings(values: dict[str, object], state_dir: Path) -> EdgeSettings:
    """Settings of a process (names in capitals) for the pass, with intervals that do not slow it."""
    left_out = ("RECORDS__", "FEDERATION_CLUSTER__", "TOPIC_PREFIX")
    lower = {name.lower(): value for name, value in values.items() if not name.startswith(left_out)}
    changed = {"state_dir": state_dir, "checkpoint_interval_s": 60, "commit_interval_s": 60, "mode": "assigned"}
    records = {"bootstrap_servers": "127.0.0.1:1"}
    return EdgeSettings.model_validate({**lower, **changed, "records": records})
