"""What every client of librdkafka gets: options and errors; the extra `librdkafka` brings the library.

Nothing here imports it before it is asked for: a service without the extra runs on kafka-python.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from services.runtime.errors import BrokerError, SettingsError
from services.runtime.settings import ClusterSettings

Client = Literal["auto", "kafka-python", "librdkafka"]
"""auto: librdkafka where it is installed and the broker is Apache Kafka."""
Compression = Literal["lz4", "none"]
"""Of a producer's batches; the value means the same to both clients but for the spelling of none."""
_CRITICAL = 2
"""Syslog's number. What is worth less arrives in a client's ``error_cb`` too, or is noise of an outage."""


def installed() -> bool:
    """Whether the extra is there; imports nothing."""
    return importlib.util.find_spec("confluent_kafka") is not None


def chosen(client: Client) -> bool:
    """Whether the setting `client` and what is installed choose librdkafka.

    Raises:
        SettingsError: it is demanded and not installed.
    """
    if client == "librdkafka" and not installed():
        raise SettingsError(
            "client=librdkafka: it is not installed; install the extra streamgauge[librdkafka], "
            "or write client=kafka-python"
        )
    return client != "kafka-python" and installed()


def client_options(cluster: ClusterSettings, client_id: str) -> dict[str, Any]:
    """Addresses, security and time-outs, as `services.runtime.kafka.client_options` has them."""
    options: dict[str, Any] = {
        "bootstrap.servers": ",".join(cluster.servers),
        "client.id": client_id,
        "security.protocol": cluster.security_protocol,
        "socket.timeout.ms": int(cluster.request_timeout_s * 1000),
        "reconnect.backoff.max.ms": 1000,
        "topic.metadata.refresh.interval.ms": 30_000,
        "allow.auto.create.topics": False,
        "ssl.endpoint.identification.algorithm": "https" if cluster.ssl_check_hostname else "none",
        "log_level": _CRITICAL,
    }
    files = {"ssl_cafile": "ca", "ssl_certfile": "certificate", "ssl_keyfile": "key"}
    for name, option in files.items():
        if (path := getattr(cluster, name)) is not None:
            options[f"ssl.{option}.location"] = str(path)
    if cluster.sasl_mechanism is not None:
        options["sasl.mechanism"] = cluster.sasl_mechanism
        options["sasl.username"] = cluster.sasl_username
        options["sasl.password"] = cluster.password()
    return options


@contextmanager
def broker_errors(cluster: ClusterSettings, doing: str) -> Iterator[None]:
    """Turn librdkafka's errors into a `BrokerError` that says what was tried and where."""
    from confluent_kafka import KafkaException

    try:
        yield
    except KafkaException as error:
        raise BrokerError(
            f"{doing} failed at {cluster.bootstrap_servers}: {said(error)}; "
            f"check that the broker runs and that bootstrap_servers and security_protocol are right"
        ) from error


def said(error: Any) -> str:
    """Name and text of a KafkaException or KafkaError."""
    cause = error.args[0] if isinstance(error, Exception) and error.args else error
    return f"{cause.name()}: {cause.str()}" if hasattr(cause, "name") else str(cause)
