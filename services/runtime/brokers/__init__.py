"""Brokers on this machine, for the demo, tests and benchmarks: Apache Kafka or the embedded one.

Production uses an Apache Kafka cluster of its own; nothing here is meant for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

from services.runtime.errors import BrokerError


class LocalBroker(Protocol):
    """A broker of one process on this machine. It dies with the process (and thread) that started it."""

    @property
    def name(self) -> str:
        """What it is, for people, e.g. ``Apache Kafka 4.3.1``."""

    @property
    def bootstrap_servers(self) -> str:
        """host:port."""

    def start(self) -> None:
        """Start it and wait until it answers; keeps what its data directory holds.

        Raises:
            BrokerError: something it needs is missing, or it ended or did not answer in time.
        """

    def stop(self) -> None:
        """End it in its own way (SIGTERM), then by force; nothing happens if it does not run."""

    def kill(self) -> None:
        """End it at once (SIGKILL), as a power cut would."""

    def restart(self) -> None:
        """`stop` and `start` with the same data and the same port."""


Preference = Literal["embedded", "kafka"]


def best_broker(data_dir: Path, prefer: Preference = "embedded") -> LocalBroker:
    """The preferred broker if this machine can run it, else the other one. Not started.

    Args:
        data_dir: where it keeps its data.
        prefer: ``embedded`` starts in 0.2 s and needs no Java; ``kafka`` is the real thing.

    Raises:
        BrokerError: neither can be run; says what each lacks.
    """
    from services.runtime.brokers import embedded, kafka

    lacks = {"embedded": embedded.missing(), "kafka": kafka.missing()}
    other: Preference = "kafka" if prefer == "embedded" else "embedded"
    for choice in (prefer, other):
        if lacks[choice] is None:
            return embedded.EmbeddedBroker(data_dir) if choice == "embedded" else kafka.KafkaBroker(data_dir)
    raise BrokerError(f"no local broker can be run: embedded: {lacks['embedded']}; Apache Kafka: {lacks['kafka']}")
