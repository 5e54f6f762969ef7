"""The edge node's loop: poll, score, send, wait for every acknowledgement, commit, checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from services.edge_node.bundle import Bundle
from services.edge_node.checkpoint import Checkpoint
from services.edge_node.feedback import Feedback
from services.edge_node.link import FederationLink
from services.edge_node.node import Node
from services.edge_node.participation import Participation
from services.edge_node.poison import PoisonGuard, Records
from services.edge_node.report import Reporter
from services.edge_node.saver import Saver
from services.edge_node.scorer import Scorer
from services.edge_node.settings import EdgeSettings
from services.edge_node.sources import Sources
from services.edge_node.tasks import Answer
from services.runtime.log import Consumer, Partition, Producer
from services.runtime.logging import get_logger
from services.runtime.tensorfile import TensorFile
from streamgauge.features import FeatureSchema
from streamgauge.stream.context import PartitionContext

log = get_logger("edge.loop")


class Due:
    """Says when something that happens every `interval_s` seconds is due."""

    def __init__(self, interval_s: float, now: float) -> None:
        self._interval_s, self._next = interval_s, now + interval_s

    def __call__(self, now: float) -> bool:
        """Whether it is due at monotonic time `now`; then not again for an interval."""
        if now < self._next:
            return False
        self._next = now + self._interval_s
        return True


class EdgeLoop:
    """One turn after another until told to stop.

    Attributes:
        settings, schema: of the node and its profile.
        consumer, producer: of the records cluster.
        sources, node, guard: what is read, what it does to the state, protection against poison.
        participation, link, feedback: the federation's side, and people's; None where a pinned bundle is used.
        reporter: status and metrics.
        identity: of the checkpoint.
        reach: told of each step; tests end the process there.
    """

    def __init__(
        self,
        settings: EdgeSettings,
        schema: FeatureSchema,
        clients: tuple[Consumer, Producer],
        sources: Sources,
        node: Node,
        guard: PoisonGuard,
        federation: tuple[Participation, FederationLink, Feedback] | None,
        reporter: Reporter,
        identity: dict[str, str],
        reach: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.settings, self.schema = settings, schema
        self.consumer, self.producer = clients
        self.sources, self.node, self.guard = sources, node, guard
        self.participation = federation[0] if federation else None
        self.link = federation[1] if federation else None
        self.feedback = federation[2] if federation else None
        self.reporter, self.identity, self.reach = reporter, identity, reach
        self.saver = Saver(checkpoint_path(settings), self._state, reach)
        now = time.monotonic()
        self._commit_due = Due(settings.commit_interval_s, now)
        self._checkpoint_due = Due(settings.checkpoint_interval_s, now)
        self._feedback_due = Due(settings.commit_interval_s, now)
        self._status_due = Due(settings.status_interval_s, now)
        self._topics_due = Due(settings.new_topics_interval_s, now)

    def run(self, stopped: Callable[[], bool]) -> None:
        """Loop until `stopped`, then save and close. After a defect nothing is saved: a restart reads again."""
        self.reporter.begin(self)
        self.sources.open()
        while not stopped():
            self.turn()
        self.commit()
        self.save()
        self.guard.end()
        self.reporter.report(self, time.time())

    def turn(self) -> None:
        """One poll and all that follows from it; every line may be the last one before a crash."""
        self.saver.look()
        polled = self.consumer.poll(self.settings.poll_timeout_s)
        self.reach("polled")
        for reset in polled.resets:
            self.sources.reset(reset)
        while self.sources.replaced:
            self.end(*self.sources.replaced.pop())
        if self.sources.unsaved:
            self.save()
        for records in self.guard.split(polled.records):
            self.handle(records)
        if self.participation is not None:
            self.take_part(self.participation)
        now = time.monotonic()
        if self.feedback is not None and self._feedback_due(now):
            self.feedback.turn(self.sources.contexts)
            self.reach("judged")
        if self._commit_due(now):
            self.commit()
        if self._checkpoint_due(now):
            self.saver.ask()
        if self._topics_due(now):
            self.sources.look()
        if self._status_due(now):
            self.reporter.report(self, time.time())

    def end(self, partition: Partition, context: PartitionContext) -> None:
        """The log behind a context was replaced: close its alerts, forget what belongs to its offsets."""
        self.producer.deliver(self.node.end(partition, context, time.monotonic()))
        self.guard.forget(partition)

    def handle(self, records: Records) -> None:
        """Score records and send what came of it; they count as handled once all of it is acknowledged."""
        start = time.monotonic()
        out = self.node.step(records, self.sources.contexts, start)
        self.reach("scored")
        self.producer.deliver(out)
        self.reach("delivered")
        for partition, batch in records.items():
            self.sources.advance(partition, batch[-1].offset + 1)
        self.reach("advanced")
        self.reporter.handled(records, time.monotonic() - start, time.time())

    def take_part(self, participation: Participation) -> None:
        """What came from the federation, and what the trainer finished."""
        assert self.link is not None
        if self.link.failure is not None:
            raise self.link.failure
        while not self.link.facts.empty():
            self.accept(participation.take(self.link.facts.get()))
        self.accept(participation.tick())

    def accept(self, outcome: Answer | Bundle | None) -> None:
        """An answer is saved before it is sent; a bundle is swapped behind a barrier."""
        if isinstance(outcome, Answer):
            self.saver.ask(partial(self.send, outcome))
        elif outcome is not None:
            self.swap(outcome)

    def send(self, answer: Answer) -> None:
        """Send an answer that a checkpoint holds."""
        self.reach("answered")
        assert self.link is not None
        self.link.submit(self.reporter.sealed(answer))

    def swap(self, bundle: Bundle) -> None:
        """The barrier: all before is acknowledged; commit, put the bundle in force, checkpoint, score on."""
        self.commit()
        self.node.scorer = Scorer(bundle, self.schema)
        self.reach("swapped")
        self.save()
        threshold = bundle.info.threshold
        log.info(
            "bundle in force",
            release_seq=bundle.info.release_seq,
            bundle_id=self.node.scorer.bundle_id,
            threshold=threshold.value if threshold else None,
            extrapolated=threshold.extrapolated if threshold else None,
        )

    def commit(self) -> None:
        """Commit up to the low watermarks."""
        self.sources.commit()
        self.reach("committed")

    def save(self) -> None:
        """Save all state and wait until it is durable."""
        self.saver.save()
        self.sources.unsaved = False

    def _state(self) -> tuple[TensorFile, Callable[[], None]]:
        """Contexts to the topic (group mode), then the checkpoint as it is to be written.

        In this order: records after a context that another node takes over must not be in this node's file.
        """
        self.sources.publish()
        self.reach("contexts published")
        suspicious = self.guard.suspicious

        def done() -> None:
            self.reach("checkpointed")
            if not suspicious:  # else what crashed the node before may have to be read again
                self.guard.saved()
            self.reporter.checkpointed(time.time())

        return checkpoint(self).file(), done


def checkpoint_path(settings: EdgeSettings) -> Path:
    """Where the node's checkpoint lies."""
    return settings.state_dir / "checkpoint.safetensors"


def checkpoint(loop: EdgeLoop) -> Checkpoint:
    """All state as it stands now."""
    node = loop.node
    return Checkpoint(
        identity=loop.identity,
        contexts={partition: context.to_state() for partition, context in loop.sources.known.items()},
        found=loop.sources.found.to_state() if loop.sources.found.opened else None,
        sequence=loop.sources.sequence,
        counts=node.counts,
        bundle=node.scorer.bundle if node.scorer and loop.participation else None,
        answers=loop.participation.answers if loop.participation else [],
        previous=loop.participation.previous if loop.participation else None,
        learner=node.learner.to_state() if loop.participation else None,
    )
