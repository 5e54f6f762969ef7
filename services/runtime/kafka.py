"""The log on Apache Kafka: the one place that makes Kafka clients. All but the consumer of records are
kafka-python's; that one is librdkafka's where the extra is installed (`services.runtime.rdkafka_consumer`).

Settings and their reasons (measured, see the design): crc32c makes consuming 6-11 times faster (a hard
dependency of ours); lz4 costs less than no compression; a `reconnect_backoff_max_ms` of 1 s instead of 30 s
brings clients back at once after an outage; with 500 records a poll and 4 MiB a partition the next fetch is
already under way while a poll is worked on.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kafka.errors import KafkaConnectionError, KafkaError
from kafka.net.compat import KafkaNetClient

from services.runtime import rdkafka
from services.runtime.errors import BrokerError, StoppedError
from services.runtime.rdkafka import Client
from services.runtime.settings import ClusterSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from services.runtime.kafka_admin import Admin
    from services.runtime.kafka_producer import KafkaLogProducer
    from services.runtime.log import Consumer

MIB = 1 << 20
_METADATA_MAX_AGE_MS = 30_000
_CONNECT_SLICE_S = 2.0
"""Of waiting for one address: long enough for a repeated SYN, short enough to notice the stop."""
_BOOTSTRAP_SLICE_S = 5.0
"""Of waiting for a broker whose port is open to answer, as far as the stop is looked at."""
_LOOK_AGAIN_S = 0.1
# Short: what tells a consumer that a topic was made again may be nothing but the id in the metadata.
_CONSUMER_METADATA_MAX_AGE_MS = 2000


def client_options(cluster: ClusterSettings, client_id: str) -> dict[str, Any]:
    """Options that every Kafka client gets: addresses, security, time-outs."""
    options: dict[str, Any] = {
        "bootstrap_servers": cluster.servers,
        "client_id": client_id,
        "security_protocol": cluster.security_protocol,
        "request_timeout_ms": int(cluster.request_timeout_s * 1000),
        "bootstrap_timeout_ms": int(cluster.request_timeout_s * 1000),
        "reconnect_backoff_max_ms": 1000,
        "metadata_max_age_ms": _METADATA_MAX_AGE_MS,
        "ssl_check_hostname": cluster.ssl_check_hostname,
    }
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
        if (path := getattr(cluster, name)) is not None:
            options[name] = str(path)
    if cluster.sasl_mechanism is not None:
        options["sasl_mechanism"] = cluster.sasl_mechanism
        options["sasl_plain_username"] = cluster.sasl_username
        options["sasl_plain_password"] = cluster.password()
    return options


def consumer_options(cluster: ClusterSettings, client_id: str, group_id: str | None) -> dict[str, Any]:
    """Options of a consumer."""
    return client_options(cluster, client_id) | {
        "group_id": group_id,
        "enable_auto_commit": False,
        # 'earliest' jumps to the end of a topic that was made again; see KafkaLogConsumer.
        "auto_offset_reset": "none",
        "allow_auto_create_topics": False,
        "isolation_level": "read_committed",
        "metadata_max_age_ms": _CONSUMER_METADATA_MAX_AGE_MS,
        "max_poll_records": 500,
        "max_partition_fetch_bytes": 4 * MIB,
        "session_timeout_ms": int(cluster.session_timeout_s * 1000),
        "heartbeat_interval_ms": int(cluster.heartbeat_s * 1000),
        "max_poll_interval_ms": int(cluster.max_poll_interval_s * 1000),
        "metrics_enabled": False,
    }


def producer_options(
    cluster: ClusterSettings, client_id: str, compression: rdkafka.Compression = "lz4"
) -> dict[str, Any]:
    """Options of a producer."""
    return client_options(cluster, client_id) | {
        "acks": "all",
        "enable_idempotence": True,
        "compression_type": None if compression == "none" else compression,
        "linger_ms": 5,
        "batch_size": 256 * 1024,
        "max_request_size": 32 * MIB,
        "delivery_timeout_ms": int(cluster.delivery_timeout_s * 1000),
        "allow_auto_create_topics": False,
        # Short, so that waiting for a broker notices the stop; what fails by it is sent again.
        "max_block_ms": 5000,
        "bootstrap_timeout_ms": 5000,
        "metrics_enabled": False,
    }


def connect(make: Callable[..., Any], options: dict[str, Any], stop: threading.Event | None = None) -> Any:
    """Make a client of kafka-python, or leave nothing of it behind.

    A constructor that cannot reach a broker leaves an I/O thread and sockets behind, which would add up while an
    outage is retried; so first a port must be open, and what failed later is closed here.

    Args:
        make: the client's class.
        options: for it.
        stop: ends the waiting, within 2 s where no port is open, else within 5 s.

    Raises:
        KafkaError: no broker answered within `bootstrap_timeout_ms`.
        StoppedError: `stop` was set meanwhile.
    """
    deadline = time.monotonic() + options["bootstrap_timeout_ms"] / 1000
    _wait_for_port(options["bootstrap_servers"], deadline, stop)
    if stop is None:
        return _connect_once(make, options)
    while True:
        left = deadline - time.monotonic()
        slice_s = min(_BOOTSTRAP_SLICE_S, max(left, 0.1))
        try:
            return _connect_once(make, options | {"bootstrap_timeout_ms": int(slice_s * 1000)})
        except KafkaError as error:
            if stop.is_set():
                raise _stopped(options["bootstrap_servers"]) from None
            if left <= slice_s or not error.retriable:
                raise


def _connect_once(make: Callable[..., Any], options: dict[str, Any]) -> Any:
    made: list[Any] = []

    def make_network(**configs: Any) -> Any:
        made.append(KafkaNetClient(**configs))
        return made[-1]

    try:
        return make(**options, kafka_client=make_network)
    except BaseException:
        for network in made:
            network.close()
        raise


def _wait_for_port(servers: list[str], deadline: float, stop: threading.Event | None) -> None:
    never = stop or threading.Event()
    failure: OSError | None = None
    while (left := deadline - time.monotonic()) > 0:
        for server in servers:
            if never.is_set():
                raise _stopped(servers)
            host, _, port = server.rpartition(":")
            try:
                timeout_s = min(left, _CONNECT_SLICE_S) if stop else left
                socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s).close()
            except OSError as error:
                failure = error
            else:
                return
        if never.wait(_LOOK_AGAIN_S):
            raise _stopped(servers)
    raise KafkaConnectionError(str(failure))


def _stopped(servers: list[str]) -> StoppedError:
    return StoppedError(f"stopped before a broker at {', '.join(servers)} answered")


@contextmanager
def broker_errors(cluster: ClusterSettings, doing: str) -> Iterator[None]:
    """Turn Kafka's errors into a `BrokerError` that says what was tried and where."""
    try:
        yield
    except KafkaError as error:
        raise BrokerError(
            f"{doing} failed at {cluster.bootstrap_servers}: {_said(error)}; "
            f"check that the broker runs and that bootstrap_servers and security_protocol are right"
        ) from error


def _said(error: KafkaError) -> str:
    """Kind and text of an error; the text of most begins with the kind already."""
    kind, text = type(error).__name__, str(error)
    return text if text.startswith(kind) else f"{kind}: {text}"


def open_consumer(
    cluster: ClusterSettings,
    *,
    client_id: str,
    group_id: str | None = None,
    stop: threading.Event | None = None,
    client: Client = "kafka-python",
) -> Consumer:
    """A consumer; see `services.runtime.log.Consumer`.

    Args:
        cluster: where.
        client_id: name in the broker's logs and quotas.
        group_id: for `subscribe` and `commit`.
        stop: ends the waiting for a broker.
        client: which library reads; without a `group_id` always kafka-python.

    Raises:
        BrokerError: no broker answered within `request_timeout_s`.
        SettingsError: librdkafka is demanded and not installed.
        StoppedError: `stop` was set before one did.
    """
    if group_id is not None and rdkafka.chosen(client):
        with open_admin(cluster, client_id=client_id, stop=stop) as admin:
            # The embedded broker names no brokers. It answers a fetch at once, also with nothing: librdkafka
            # would ask again without a pause, for a fifth of a core.
            suits = client == "librdkafka" or bool(admin.brokers())
        if suits:
            from services.runtime.rdkafka_consumer import RdkafkaLogConsumer

            return RdkafkaLogConsumer(cluster, client_id, group_id)
    elif stop is not None:
        # The wait, where it can be stopped; a broker that has just answered lets the consumer in at once.
        open_admin(cluster, client_id=client_id, stop=stop).close()
    from services.runtime.kafka_consumer import KafkaLogConsumer

    return KafkaLogConsumer(cluster, client_id, group_id)


def open_producer(
    cluster: ClusterSettings, *, client_id: str, stop: threading.Event, compression: rdkafka.Compression = "lz4"
) -> KafkaLogProducer:
    """A producer; see `services.runtime.log.Producer`. It connects with the first delivery.

    Args:
        cluster: where.
        client_id: name in the broker's logs and quotas.
        stop: ends the repeating of failed sends.
        compression: of batches.
    """
    from services.runtime.kafka_producer import KafkaLogProducer

    return KafkaLogProducer(cluster, client_id, stop, compression)


def open_admin(cluster: ClusterSettings, *, client_id: str, stop: threading.Event | None = None) -> Admin:
    """A client for topics; use it in a ``with`` statement.

    Args:
        cluster: where.
        client_id: name in the broker's logs and quotas.
        stop: ends the waiting for a broker.

    Raises:
        BrokerError: no broker answered within `request_timeout_s`.
        StoppedError: `stop` was set before one did.
    """
    from services.runtime.kafka_admin import Admin

    return Admin(cluster, client_id, stop)
