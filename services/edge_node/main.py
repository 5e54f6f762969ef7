"""Entry point of the edge node: `python -m services.edge_node.main` or `streamgauge edge-node`."""

from __future__ import annotations

import gc
import sys
import threading

from services.edge_node.build import EdgeNode, Hooks
from services.edge_node.metrics import EdgeMetrics
from services.edge_node.settings import EdgeSettings
from services.edge_node.trainer import fork_trainer
from services.runtime.http import serve_status
from services.runtime.kafka import open_consumer, open_producer
from services.runtime.lifecycle import run_service, stop_event
from services.runtime.log import Consumer, Producer
from services.runtime.logging import get_logger, setup_logging
from services.runtime.rdkafka import Client
from services.runtime.settings import ClusterSettings, load_settings
from services.runtime.topics import Topics, ensure_topics


class KafkaClients:
    """Opens clients of Kafka clusters; their waiting for a broker ends with `stop`.

    `client` names the library that reads records.
    """

    def __init__(self, stop: threading.Event, client: Client) -> None:
        self._stop, self._client = stop, client

    def consumer(self, cluster: ClusterSettings, client_id: str, group_id: str | None = None) -> Consumer:
        """A consumer."""
        return open_consumer(cluster, client_id=client_id, group_id=group_id, stop=self._stop, client=self._client)

    def producer(self, cluster: ClusterSettings, client_id: str, stop: threading.Event) -> Producer:
        """A producer."""
        return open_producer(cluster, client_id=client_id, stop=stop)


def serve(hooks: Hooks | None = None) -> None:
    """Run until told to stop."""
    settings = load_settings(EdgeSettings)
    setup_logging(settings.log_format, settings.log_level, service="edge-node", node=settings.node)
    # Before any thread, client or tensor exists.
    trainer = None if settings.pinned_bundle else fork_trainer()
    stop = stop_event()
    specs = Topics(settings.topic_prefix).records_specs()
    ensure_topics(settings.records, specs, settings.replication_factor, stop)
    edge = EdgeNode(settings, KafkaClients(stop, settings.client), stop, EdgeMetrics(), hooks, trainer)
    status = serve_status(
        settings.metrics_host, settings.metrics_port, ready=lambda: bool(edge.loop.sources.contexts)
    )
    get_logger("edge").info("started", metrics=f"http://{settings.metrics_host}:{status.port}/metrics")
    # Half a million objects of torch and others live as long as the process: without them a full collection does
    # not stop the loop for a tenth of a second.
    gc.collect()
    gc.freeze()
    try:
        edge.start()
        edge.loop.run(stop.is_set)
    finally:
        stop.set()
        edge.close()
        status.close()


def main() -> None:
    """Run the service and exit with its code."""
    sys.exit(run_service(serve))


if __name__ == "__main__":
    main()
