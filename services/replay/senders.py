"""The seam to the client that sends: kafka-python, or librdkafka where its extra is installed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from services.replay.messages import Messages
from services.replay.settings import ReplaySettings
from services.runtime.kafka import open_producer
from services.runtime.log import Outgoing, Producer
from services.runtime.rdkafka import chosen

if TYPE_CHECKING:
    from services.runtime.rdkafka_producer import RdKafkaProducer

CLIENT_ID = "streamgauge-replay"


class Sender(Protocol):
    """Sends messages in their order."""

    def send(self, messages: Messages, low: int, high: int) -> None:
        """Hand over messages low to high; they may not be acknowledged yet. Raises StoppedError."""

    def flush(self) -> None:
        """Wait until all that was handed over is acknowledged. Raises StoppedError, BrokerError."""

    def close(self) -> None:
        """Free the sockets."""


class DeliveringSender:
    """On a `Producer` of ours, which waits for the acknowledgements of each call."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    def send(self, messages: Messages, low: int, high: int) -> None:
        """Send and wait."""
        m, part = messages, slice(low, high)
        columns = zip(
            m.topics[part], m.keys[part], m.values[part], m.headers[part], m.partitions[part], m.stamps_ms[part],
            strict=True,
        )  # fmt: skip
        self._producer.deliver([Outgoing(*each) for each in columns])

    def flush(self) -> None:
        """Nothing is left to wait for."""

    def close(self) -> None:
        """Free the sockets."""
        self._producer.close()


def open_sender(settings: ReplaySettings, stop: threading.Event) -> Sender:
    """The client of the settings.

    Raises:
        SettingsError: librdkafka is asked for and not installed.
    """
    if chosen(settings.client):
        from services.runtime.rdkafka_producer import RdKafkaProducer

        return RdSender(RdKafkaProducer(settings.records, CLIENT_ID, stop, settings.compression))
    producer = open_producer(settings.records, client_id=CLIENT_ID, stop=stop, compression=settings.compression)
    return DeliveringSender(producer)


class RdSender:
    """On librdkafka, which sends while the next messages are made."""

    def __init__(self, producer: RdKafkaProducer) -> None:
        self._producer = producer

    def send(self, messages: Messages, low: int, high: int) -> None:
        """Hand over; waits where librdkafka's queue is full."""
        m, part = messages, slice(low, high)
        self._producer.hand_over(
            m.topics[part], m.keys[part], m.values[part], m.headers[part], m.partitions[part], m.stamps_ms[part]
        )

    def flush(self) -> None:
        """Wait for all acknowledgements."""
        self._producer.flush()

    def close(self) -> None:
        """Free the sockets."""
        self._producer.close()
