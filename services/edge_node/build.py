"""Puts an edge node together from its settings; the only place that knows all the parts."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from services.edge_node.alerts import AlertWriter
from services.edge_node.bundle import Bundle
from services.edge_node.checkpoint import Checkpoint
from services.edge_node.context_topic import ContextTopic, Worker
from services.edge_node.feedback import Feedback
from services.edge_node.found_topics import FoundTopics
from services.edge_node.link import FederationLink
from services.edge_node.loop import EdgeLoop, checkpoint_path
from services.edge_node.metrics import EdgeMetrics
from services.edge_node.node import Ledger, Node
from services.edge_node.participation import Participation
from services.edge_node.poison import PoisonGuard
from services.edge_node.report import Reporter
from services.edge_node.scorer import Scorer
from services.edge_node.settings import EdgeSettings
from services.edge_node.source_profiles import SourceProfiles
from services.edge_node.sources import Sources
from services.edge_node.tasks import Workshop
from services.edge_node.trainer import TrainerProcess
from services.edge_node.trainer_client import TrainerClient
from services.runtime.atomic import remove_unfinished, write_atomic
from services.runtime.envelope import Sealer
from services.runtime.errors import SettingsError
from services.runtime.log import Consumer, Partition, Producer
from services.runtime.settings import ClusterSettings
from services.runtime.signing import load_signing_key, load_verify_key
from services.runtime.topics import Topics
from streamgauge.detectors import DETECTORS, Detector
from streamgauge.features import FeatureSchema
from streamgauge.stream.context import PartitionContext
from streamgauge.stream.learning import Learner


class Clients(Protocol):
    """Opens clients; Kafka in the service, the log in memory in tests."""

    def consumer(self, cluster: ClusterSettings, client_id: str, group_id: str | None = None) -> Consumer:
        """A consumer."""

    def producer(self, cluster: ClusterSettings, client_id: str, stop: threading.Event) -> Producer:
        """A producer."""


@dataclass(frozen=True)
class Hooks:
    """For tests only: what is told of each step and of each record."""

    reach: Callable[[str], None] = lambda _: None
    ledger: Ledger = field(default_factory=Ledger)
    keep_positions: bool = False


class EdgeNode:
    """All parts of a running node, and their end.

    Args:
        settings: checked.
        clients: how to reach the clusters.
        stop: ends the link's thread and the producers' repeats.
        metrics: of this process.
        hooks: for tests.
        trainer: a trainer process that was forked before; None: one is started for the first job.

    Raises:
        ConfigurationError, StateError, SettingsError: what is wrong with profile, detector, state or keys.
    """

    def __init__(
        self,
        settings: EdgeSettings,
        clients: Clients,
        stop: threading.Event,
        metrics: EdgeMetrics,
        hooks: Hooks | None = None,
        trainer: TrainerProcess | None = None,
    ) -> None:
        self._settings, self._clients, self._stop = settings, clients, stop
        self._hooks = hooks or Hooks()
        self._lock = _lock(settings)
        self._profiles = SourceProfiles(settings)
        schema = self._profiles.schema
        detector = DETECTORS[settings.detector](schema.width, settings.detector_config)
        self._incarnation = begin_incarnation(settings.state_dir / "incarnation", int(time.time() * 1000))
        self._topics = Topics(settings.topic_prefix)
        identity = _identity(settings, schema, detector)
        remove_unfinished(checkpoint_path(settings))
        saved = Checkpoint.load(checkpoint_path(settings), identity)
        self._guard = PoisonGuard(settings.state_dir / "in-progress")
        self._consumer = clients.consumer(settings.records, f"{settings.node}-records", _group_id(settings))
        self._producer = clients.producer(settings.records, f"{settings.node}-alerts", stop)
        self._trainer = TrainerClient(settings.state_dir / "trainer", trainer)
        self._link: FederationLink | None = None
        self._feedback: Feedback | None = None
        learner = self._learner(saved, detector)
        node = self._node(saved, learner)
        federation = None
        if settings.pinned_bundle is None:
            self._feedback = self._people(saved, learner)
            federation = (*self._federation(saved, learner, schema, detector), self._feedback)
        reporter = Reporter(
            settings,
            self._profiles,
            (schema.hash, detector),
            self._federation_sealer(),
            self._incarnation,
            metrics,
        )
        self.loop = EdgeLoop(
            settings,
            schema,
            (self._consumer, self._producer),
            self._sources(saved, learner),
            node,
            self._guard,
            federation,
            reporter,
            identity,
            self._hooks.reach,
        )

    def start(self) -> None:
        """Connect the producer; start the link to the federation, if there is one."""
        self._producer.prepare((self._topics.alerts, self._topics.dead_letters))
        if self._link is not None:
            self._link.start()

    def close(self) -> None:
        """End trainer and link and free all clients; `stop` must be set."""
        self._trainer.close()
        if self._link is not None and self._link.ident is not None:  # started, even if it has failed since
            self._link.close()
        self.loop.saver.close()
        if self._feedback is not None:
            self._feedback.close()
        self._consumer.close()
        self._producer.close()
        self._guard.close()
        os.close(self._lock)

    def _learner(self, saved: Checkpoint, detector: Detector) -> Learner:
        policy = self._settings.learning.policy(self._hooks.keep_positions, detector.window)
        centre = self._profiles.schema.centre()
        if saved.learner is None:
            return Learner(policy, centre, seed=0)
        return Learner.from_state(saved.learner, policy, centre, seed=0)

    def _node(self, saved: Checkpoint, learner: Learner) -> Node:
        settings, schema = self._settings, self._profiles.schema
        sealer = Sealer(settings.node, self._incarnation, None)
        writer = AlertWriter(settings, self._profiles.default, sealer, self._topics.alerts)
        node = Node(settings, self._profiles, learner, self._guard, writer, self._hooks.ledger)
        node.counts = saved.counts
        bundle = Bundle.load(settings.pinned_bundle) if settings.pinned_bundle else saved.bundle
        node.scorer = Scorer(bundle, schema) if bundle else None
        return node

    def _sources(self, saved: Checkpoint, learner: Learner) -> Sources:
        settings, policy = self._settings, self._settings.alerts.policy()
        contexts = {p: PartitionContext.from_state(state, policy) for p, state in saved.contexts.items()}
        sources = Sources(
            settings,
            self._consumer,
            self._contexts(saved) if settings.mode == "group" else None,
            contexts,
            FoundTopics.from_state(saved.found),
        )

        def moved_on(partition: Partition) -> None:
            learner.forget(str(partition))
            self._guard.forget(partition)

        sources.moved_on, sources.revoked = moved_on, self._guard.forget
        return sources

    def _contexts(self, saved: Checkpoint) -> ContextTopic:
        settings = self._settings
        return ContextTopic(
            (self._producer, Sealer(settings.node, self._incarnation, None), self._topics.contexts),
            lambda: self._clients.consumer(settings.records, f"{settings.node}-contexts"),
            Worker(
                settings.federation,
                settings.group_id,
                self._profiles.schema.hash,
                settings.node,
                self._incarnation,
            ),
            saved.sequence,
            self._stop.is_set,
        )

    def _federation(
        self, saved: Checkpoint, learner: Learner, schema: FeatureSchema, detector: Detector
    ) -> tuple[Participation, FederationLink]:
        settings = self._settings
        assert settings.aggregator_key_file is not None
        calibrated = saved.bundle.info.release_seq if saved.bundle and saved.bundle.info.threshold else None
        workshop = Workshop(settings, schema, detector, learner)
        participation = Participation(workshop, self._trainer, saved.answers, calibrated, saved.previous)
        trusted = {settings.aggregator: load_verify_key(settings.aggregator_key_file)}
        self._link = FederationLink(self._connect, self._topics, settings.federation, trusted, self._stop)
        return participation, self._link

    def _people(self, saved: Checkpoint, learner: Learner) -> Feedback:
        """People's verdicts on this node's alerts."""
        settings = self._settings
        consumer = self._clients.consumer(settings.records, f"{settings.node}-feedback")
        counts = saved.counts.verdicts
        return Feedback(settings, self._topics.feedback, consumer, self._consumer.end, learner, counts)

    def _connect(self) -> tuple[Consumer, Consumer, Producer]:
        cluster, name = self._settings.federation_cluster, self._settings.node
        assert cluster is not None
        return (
            self._clients.consumer(cluster, f"{name}-rounds"),
            self._clients.consumer(cluster, f"{name}-models"),
            self._clients.producer(cluster, f"{name}-federation", self._stop),
        )

    def _federation_sealer(self) -> Sealer:
        key = load_signing_key(self._settings.key_file) if self._settings.key_file else None
        return Sealer(self._settings.node, self._incarnation, key)


def begin_incarnation(path: Path, now_ms: int) -> int:
    """A number that rises with every start of the node, also where the clock was set back meanwhile.

    Args:
        path: of the file that remembers the last one.
        now_ms: milliseconds since the epoch.
    """
    known = int(path.read_text()) if path.exists() else 0
    incarnation = max(now_ms, known + 1)
    write_atomic(path, str(incarnation).encode())
    return incarnation


def _group_id(settings: EdgeSettings) -> str:
    """Workers of a group share one id; assigned nodes commit under a name of their own."""
    return (
        settings.group_id if settings.mode == "group" else f"{settings.group_id}.{settings.node.replace('/', '.')}"
    )


def _identity(settings: EdgeSettings, schema: FeatureSchema, detector: Detector) -> dict[str, str]:
    return {
        "node": settings.node,
        "federation": settings.federation,
        "detector": settings.detector,
        "schema_hash": schema.hash,
        "layout_hash": detector.layout.hash,
    }


def _lock(settings: EdgeSettings) -> int:
    """Hold the state directory; the kernel lets go when the process ends, however it ends."""
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(settings.state_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise SettingsError(
            f"STREAMGAUGE_EDGE_STATE_DIR={settings.state_dir}: another node uses it; give each its own"
        ) from None
    return descriptor
