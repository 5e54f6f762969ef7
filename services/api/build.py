"""Builds the API's parts from its settings; the only place of the API that knows Kafka."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from services.api.handlers import (
    AlertHandler,
    ArtefactHandler,
    Handler,
    NodeHandler,
    ReleaseHandler,
    RoundHandler,
)
from services.api.ingest import Ingest
from services.api.metrics import ApiMetrics, Silence
from services.api.settings import ApiSettings
from services.api.store import Store
from services.api.verdicts import VerdictSender
from services.runtime.database import Database, open_database
from services.runtime.envelope import Sealer
from services.runtime.kafka import open_consumer, open_producer
from services.runtime.log import Consumer
from services.runtime.settings import ClusterSettings
from services.runtime.topics import Topics
from services.runtime.trust import EnrolledKeys, pinned

MIGRATIONS = "services.api:migrations"
"""Where Alembic finds the API's migrations, as package and directory."""
_RECORDS = "records"


def open_store(settings: ApiSettings) -> tuple[Database, Store]:
    """The database, its schema brought up to date, and the questions to it."""
    database = open_database(settings.url, MIGRATIONS)
    return database, Store(database)


def record_handlers(topics: Topics, source: str) -> dict[str, Handler]:
    """What is read from a site's own cluster."""
    return {topics.alerts: AlertHandler(source)}


def federation_handlers(settings: ApiSettings) -> dict[str, Handler]:
    """What is read from the shared cluster.

    Raises:
        SettingsError: a key file is missing or not a key.
    """
    topics = Topics(settings.topic_prefix)
    aggregator = pinned(settings.aggregator, settings.aggregator_key_file)
    nodes = EnrolledKeys(settings.nodes_keys_dir)
    return {
        topics.nodes: NodeHandler(nodes),
        topics.rounds: RoundHandler(aggregator),
        topics.models: ArtefactHandler(aggregator, settings.max_artefact_bytes),
        topics.releases: ReleaseHandler(aggregator),
    }


def build_ingests(
    settings: ApiSettings, database: Database, metrics: ApiMetrics, stop: threading.Event
) -> list[Ingest]:
    """One ingest for each cluster, known by its bootstrap servers; `stop` ends the waiting for its brokers."""

    def ingest(source: str, role: str, cluster: ClusterSettings, handlers: dict[str, Handler]) -> Ingest:
        return Ingest(source, _connector(cluster, role, stop), database, handlers, metrics)

    topics = Topics(settings.topic_prefix)
    ingests = [
        ingest(source, _RECORDS, cluster, record_handlers(topics, source))
        for source, cluster in _sites(settings).items()
    ]
    if settings.federation_cluster is not None:
        shared = settings.federation_cluster
        source = f"federation@{shared.bootstrap_servers}"
        ingests.append(ingest(source, "federation", shared, federation_handlers(settings)))
    return ingests


def build_senders(
    settings: ApiSettings, database: Database, metrics: ApiMetrics, stop: threading.Event
) -> dict[str, VerdictSender]:
    """One sender of verdicts for each site's cluster, by its source."""
    sealer = Sealer("api", int(time.time() * 1000), None)
    return {
        source: VerdictSender(
            source, database, open_producer(cluster, client_id="streamgauge-api", stop=stop), sealer, metrics
        )
        for source, cluster in _sites(settings).items()
    }


def _sites(settings: ApiSettings) -> dict[str, ClusterSettings]:
    """The sites' clusters by what alerts and consumed offsets call them; keep the names over restarts."""
    return {f"{_RECORDS}@{cluster.bootstrap_servers}": cluster for cluster in settings.records}


def silence_of(store: Store, clock: Callable[[], float] = time.time) -> Silence:
    """How long each node has been silent, as of the call."""
    return lambda: [
        (row.federation, row.node, max(0.0, clock() - row.arrived_us / 1e6)) for row in store.nodes(None)
    ]


def _connector(cluster: ClusterSettings, role: str, stop: threading.Event) -> Callable[[], Consumer]:
    return lambda: open_consumer(cluster, client_id=f"streamgauge-api-{role}", stop=stop)
