"""A federation in one process: an in-memory log, an aggregator on SQLite, scripted nodes, a clock of our own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from typing_extensions import override

from schemas import (
    Message,
    ModelArtefact,
    ModelUpdate,
    NodeStatus,
    Release,
    RoundCandidate,
    RoundClosed,
    RoundPlan,
    Vote,
)
from services.aggregator.build import MIGRATIONS, build_aggregator
from services.aggregator.loop import Aggregator
from services.aggregator.metrics import AggregatorMetrics
from services.aggregator.settings import AggregatorSettings
from services.runtime.codecs import layout_items, pack, sha256, unpack
from services.runtime.database import Database, open_database
from services.runtime.envelope import Sealer, open_envelope, read_message
from services.runtime.log import Consumer, LogRecord, Outgoing, Partition, Producer, Sent
from services.runtime.memory import MemoryBroker
from services.runtime.settings import ClusterSettings
from services.runtime.signing import SigningKey, VerifyKey, create_key, load_signing_key, load_verify_key
from services.runtime.topics import Topics
from streamgauge.layout import Item, Layout

Arrays = dict[str, NDArray[Any]]
M = TypeVar("M", bound=Message)
LAYOUT = Layout(
    (
        Item("scaler", (4,), "moments", "agreement"),
        Item("w", (3, 2), "mean", "weights", init="uniform:0.5"),
        Item("b", (), "mean", "weights"),
        Item("error", (4,), "moments", "under_candidate"),
    )
)
SCHEMA = "5" * 64
FEDERATION = "plant"
TOPICS = Topics()


class CrashError(Exception):
    """Stands for kill -9."""


class Fuse:
    """Crashes at the n-th step, once; 0 never does. `steps` counts them."""

    def __init__(self, crash_at: int = 0) -> None:
        self.steps = 0
        self._crash_at = crash_at

    def burn(self) -> None:
        self.steps += 1
        if self.steps == self._crash_at:
            raise CrashError(f"at step {self.steps}")


class FusedDatabase(Database):
    """Can crash just before and just after each commit."""

    def __init__(self, database: Database, fuse: Fuse) -> None:
        self._inner = database
        self._fuse = fuse

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        with self._inner.write() as connection:
            yield connection
            self._fuse.burn()
        self._fuse.burn()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        with self._inner.read() as connection:
            yield connection


class FusedProducer(Producer):
    """Can crash just before and just after each delivery."""

    def __init__(self, producer: Producer, fuse: Fuse) -> None:
        self._inner = producer
        self._fuse = fuse

    @override
    def prepare(self, topics: Iterable[str]) -> None:
        self._inner.prepare(topics)

    @override
    def deliver(self, records: Sequence[Outgoing]) -> list[Sent]:
        self._fuse.burn()
        sent = self._inner.deliver(records)
        self._fuse.burn()
        return sent

    @override
    def close(self) -> None:
        self._inner.close()


def moments(name: str, rows: NDArray[np.float64]) -> Arrays:
    """Moments of (n, 4) rows as they travel."""
    n = np.full(rows.shape[1], float(len(rows)))
    return {f"{name}.n": n, f"{name}.sum": rows.sum(axis=0), f"{name}.sumsq": (rows**2).sum(axis=0)}


def open_artefact(record: LogRecord, keys: Mapping[str, VerifyKey], name: str) -> tuple[ModelArtefact, Arrays]:
    """An artefact, its signature and hash checked."""
    opened = open_envelope(record, keys)
    assert sha256(opened.value) == name
    assert record.key == f"{FEDERATION}/{name}".encode()
    return unpack(ModelArtefact, opened.value, 1 << 24)


class NodeWorld(Protocol):
    """What a scripted node needs of the world around it."""

    topics: Topics
    now: float
    aggregator_keys: dict[str, VerifyKey]

    def consumer(self) -> Consumer: ...

    def send(self, outgoing: Outgoing) -> Sent: ...

    def artefact(self, offset: int, name: str) -> tuple[ModelArtefact, Arrays]: ...


@dataclass
class Node:
    """A node that does what a node should, but for what a test changes."""

    world: NodeWorld
    name: str
    key: SigningKey
    incarnation: int = 1
    records: int = 100
    claimed: int | None = None
    layout: Layout = LAYOUT
    detector: str = "autoencoder"
    answers: bool = True
    votes: bool = True
    approve: bool = True
    ready: bool = True
    release: Release | None = None
    plans: dict[int, RoundPlan] = field(default_factory=dict)
    candidates: dict[int, RoundCandidate] = field(default_factory=dict)
    closed: dict[int, RoundClosed] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.seed = int(sha256(self.name.encode())[:8], 16)
        self.site = self.name.partition("/")[0]
        self.restart(self.incarnation)

    def restart(self, incarnation: int) -> None:
        """A new process of this node; it reads the log again from the beginning."""
        self.incarnation = incarnation
        self.sealer = Sealer(self.name, incarnation, self.key)
        self.consumer = self.world.consumer()
        self.consumer.assign(
            {Partition(topic, 0): 0 for topic in (self.world.topics.rounds, self.world.topics.releases)}
        )

    def step(self, wait_s: float = 0.0) -> None:
        """Read, answer, report."""
        for records in self.consumer.poll(wait_s).records.values():
            for record in records:
                opened = open_envelope(record, self.world.aggregator_keys)
                if opened.type == RoundPlan.TYPE:
                    self.on_plan(read_message(RoundPlan, opened))
                elif opened.type == RoundCandidate.TYPE:
                    self.on_candidate(read_message(RoundCandidate, opened))
                elif opened.type == RoundClosed.TYPE:
                    closed = read_message(RoundClosed, opened)
                    self.closed[closed.round] = closed
                else:
                    self.on_release(read_message(Release, opened))
        self.report()

    def report(self) -> None:
        status = NodeStatus(
            federation=FEDERATION,
            node=self.name,
            site=self.site,
            incarnation=self.incarnation,
            at=datetime.fromtimestamp(self.world.now, UTC),
            phase="watching",
            detector=self.detector,
            schema_hash=SCHEMA,
            layout_hash=self.layout.hash,
            layout=layout_items(self.layout),
            ready_for_agreement=self.ready,
            ready_to_train=self.ready and self.release is not None,
            release_seq=self.release.release_seq if self.release else 0,
        )
        self.world.send(self.sealer.seal(status, self.world.topics.nodes, self.name.encode()))

    def on_plan(self, plan: RoundPlan) -> None:
        if plan.round not in self.plans and self.answers and self.name in plan.participants:
            self.send_update(plan)
        self.plans[plan.round] = plan

    def on_candidate(self, candidate: RoundCandidate) -> None:
        self.world.artefact(candidate.weights.offset, candidate.weights.sha256)
        if self.votes and self.name in candidate.voters:
            self.send_vote(candidate)
        self.candidates[candidate.round] = candidate

    def on_release(self, release: Release) -> None:
        newer = self.release is None or release.release_seq > self.release.release_seq
        if newer and release.layout_hash == self.layout.hash:
            self.world.artefact(release.weights.offset, release.weights.sha256)
            self.release = release

    def arrays(self, plan: RoundPlan) -> Arrays:
        """What an honest node sends."""
        generator = np.random.default_rng([self.seed, plan.round])
        if plan.kind == "agreement":
            return moments("scaler", generator.normal(2.0, 3.0, (self.records, 4)))
        return {
            "w": generator.normal(0, 0.1, (3, 2)).astype(np.float32),
            "b": np.array(generator.normal(0, 0.1), np.float32),
        }

    def update(self, plan: RoundPlan, **changes: Any) -> ModelUpdate:
        fields = {
            "federation": FEDERATION,
            "node": self.name,
            "site": self.site,
            "round": plan.round,
            "kind": plan.kind,
            "base_release_seq": plan.base_release_seq,
            "schema_hash": plan.schema_hash,
            "layout_hash": plan.layout_hash,
            "records": self.claimed or self.records,
        }
        return ModelUpdate.model_validate({**fields, **changes})

    def send_update(
        self, plan: RoundPlan, arrays: Mapping[str, NDArray[Any]] | None = None, **changes: Any
    ) -> None:
        message = self.update(plan, **changes)
        body = pack(message, self.arrays(plan) if arrays is None else arrays)
        self.world.send(self.sealer.seal(message, self.world.topics.updates, self.name.encode(), body=body))

    def send_vote(self, candidate: RoundCandidate, **changes: Any) -> None:
        fields = {
            "federation": FEDERATION,
            "node": self.name,
            "site": self.site,
            "round": candidate.round,
            "candidate_sha256": candidate.weights.sha256,
            "approve": self.approve,
            "reason": "better" if self.approve else "worse",
            "auc_candidate": 0.9,
            "auc_release": 0.8,
            "false_alarm_rate": 0.01,
            "records": 50,
        }
        vote = Vote.model_validate({**fields, **changes})
        rows = np.random.default_rng([self.seed, candidate.round, 1]).normal(size=(50, 4))
        body = pack(vote, moments("error", rows))
        self.world.send(self.sealer.seal(vote, self.world.topics.votes, self.name.encode(), body=body))


class World:
    """See the module's docstring; `settings` change the aggregator's."""

    def __init__(
        self, directory: Path, names: Sequence[str], template: Path | None = None, **settings: Any
    ) -> None:
        self.topics = TOPICS
        self.now = 1_700_000_000.0
        self.broker = MemoryBroker()
        for spec in TOPICS.federation_specs(update_partitions=2):
            self.broker.create_topic(spec.name, spec.partitions, spec.min_max_message_bytes)
        self._sender = self.broker.producer()
        self._keys = directory / "keys"
        self.enrolled = directory / "enrolled"
        self.enrolled.mkdir(parents=True)
        private, public = create_key(self._keys, "aggregator")
        self.aggregator_keys = {"aggregator": load_verify_key(public)}
        self.settings = AggregatorSettings(
            federation_cluster=ClusterSettings(bootstrap_servers="memory:1"),
            federation=FEDERATION,
            signing_key_file=private,
            nodes_keys_dir=self.enrolled,
            state_dir=directory,
            **{"min_nodes": len(names), "round_interval_s": 10.0, "node_timeout_s": 30.0, **settings},
        )
        if template is not None:
            shutil.copy(template, directory / "aggregator.sqlite")
        self.database = open_database(self.settings.url, MIGRATIONS)
        self.nodes = [self.node(name) for name in names]
        self.fuse = Fuse()
        self.metrics = AggregatorMetrics()
        self.aggregator = self.start()

    def node(self, name: str, enrol: bool = True, **changes: Any) -> Node:
        private, public = create_key(self._keys, name)
        if enrol:
            shutil.copy(public, self.enrolled)
        return Node(self, name, load_signing_key(private), **changes)

    def start(self, fuse: Fuse | None = None) -> Aggregator:
        """A new process of the aggregator, going on where the database says; metrics go on counting."""
        self.fuse = fuse or Fuse()
        self.aggregator = build_aggregator(
            self.settings,
            FusedDatabase(self.database, self.fuse),
            self.broker.consumer(),
            FusedProducer(self.broker.producer(), self.fuse),
            self.metrics,
            lambda: self.now,
        )
        self.aggregator.send_pending()
        return self.aggregator

    def consumer(self) -> Consumer:
        return self.broker.consumer()

    def send(self, outgoing: Outgoing) -> Sent:
        return self._sender.deliver([outgoing])[0]

    def turn(self, seconds: float = 1.0, one_by_one: bool = False) -> None:
        """Everybody has one turn, the aggregator the last, or one after each node."""
        for node in self.nodes:
            node.step()
            if one_by_one:
                self.aggregator.step(0.0)
        self.aggregator.step(0.0)
        self.now += seconds

    def until(self, done: Callable[[], bool], seconds: float = 1.0, turns: int = 200) -> None:
        """Turns of so many seconds until it is true."""
        for _ in range(turns):
            if done():
                return
            self.turn(seconds)
        raise AssertionError(f"not true after {turns} turns; rounds: {self.closed}")

    def said(self, cls: type[M], topic: str) -> list[M]:
        """What the aggregator sent, of one type, repeats included."""
        opened = [
            open_envelope(record, self.aggregator_keys)
            for record in self.broker.records(topic)
            if record.value is not None and dict(record.headers)["sg_sender"] == b"aggregator"
        ]
        return [read_message(cls, one) for one in opened if one.type == cls.TYPE]

    @property
    def releases(self) -> list[Release]:
        return self.said(Release, TOPICS.releases)

    @property
    def closed(self) -> list[RoundClosed]:
        return self.said(RoundClosed, TOPICS.rounds)

    def artefact(self, offset: int, name: str) -> tuple[ModelArtefact, Arrays]:
        """An artefact as a node reads it: by offset, hash checked."""
        return open_artefact(self.broker.records(TOPICS.models)[offset], self.aggregator_keys, name)

    def refusals(self) -> dict[str, float]:
        """Counted refusals by reason."""
        found: dict[str, float] = {}
        for family in self.metrics.refused.collect():
            for sample in family.samples:
                if sample.name.endswith("_total"):
                    reason = sample.labels["reason"]
                    found[reason] = found.get(reason, 0) + sample.value
        return found

    def close(self) -> None:
        self.database.close()
