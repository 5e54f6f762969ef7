"""Verdicts reach the learner once and the newest counts, whatever is rolled back, repeated or handed over."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from schemas import Verdict, VerdictKind
from services.edge_node.feedback import Feedback
from services.edge_node.ids import alert_id, record_id
from services.runtime.envelope import Sealer
from services.runtime.errors import BrokerError
from services.runtime.log import Outgoing, Partition
from services.runtime.memory import MemoryBroker
from streamgauge.stream.context import PartitionContext
from streamgauge.stream.grouping import GroupingPolicy, ScoredBatch
from streamgauge.stream.learning import Learner, LearningPolicy
from tests.support.edge import edge_settings

TOPIC = "sg.feedback"
SOURCES = (Partition("records", 0), Partition("records", 1))
POLICY = GroupingPolicy(gap_s=0.5)
LEARNING = LearningPolicy()
CENTRE = np.zeros(2)
KINDS: tuple[VerdictKind, ...] = ("attack", "false_alarm", "unknown")


class Site:
    """A records cluster: two partitions whose every record is an alert, and the topic of verdicts."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.broker.create_topic(TOPIC)
        self.broker.create_topic("records", 2)
        self.versions = 0
        self.newest: dict[UUID, VerdictKind] = {}

    def record(self, source: Partition) -> None:
        self.broker.producer().deliver([Outgoing("records", b"k", b"v", partition=source.partition)])

    def end(self, source: Partition) -> int:
        return self.broker.topics["records"].end(source.partition)

    def alert(self, source: Partition, offset: int, life: str = "life") -> UUID:
        return alert_id("default", "autoencoder", record_id("records", life, source.partition, offset, 0))

    def say(self, source: Partition, offset: int, kind: VerdictKind, **changes: Any) -> Verdict:
        self.versions += 1
        values: dict[str, Any] = {
            "alert_id": self.alert(source, offset),
            "version": self.versions,
            "verdict": kind,
            "federation": "default",
            "detector": "autoencoder",
            "topic": source.topic,
            "partition": source.partition,
            "offset": offset,
        }
        verdict = Verdict(**(values | changes))
        self.broker.producer().deliver([Sealer("api", 1, None).seal(verdict, TOPIC, b"k")])
        self.newest[verdict.alert_id] = kind
        return verdict


class Worker:
    """The part of a node that verdicts concern: contexts, learner, and their checkpoint."""

    def __init__(self, site: Site, node: str = "site/one", sources: tuple[Partition, ...] = SOURCES) -> None:
        self.site, self.node = site, node
        self.contexts = {source: PartitionContext.fresh("life", 0, POLICY) for source in sources}
        self.learner, self.counts = Learner(LEARNING, CENTRE, 0), Counter[str]()
        self.begin()
        self.save()

    def begin(self) -> None:
        settings = edge_settings(Path("/nowhere"), Path("p"), node=self.node, pinned_bundle=Path("b"))
        consumer = self.site.broker.consumer()
        self.feedback = Feedback(settings, TOPIC, consumer, self.site.end, self.learner, self.counts)

    def score(self, source: Partition) -> None:
        """The next record, which opens an alert of its own."""
        context = self.contexts[source]
        at = np.array([context.next_offset])
        if at[0] < self.site.end(source):
            x = np.full((1, 2), at[0], np.float32)
            batch = ScoredBatch(at * 1.0, ["pump"], np.ones(1), np.ones(1), at, at * 0, x)
            context.grouper.step(batch, lambda i: {})
            context.next_offset += 1

    def turn(self) -> None:
        self.feedback.turn(self.contexts)

    def save(self) -> None:
        contexts = {source: json.dumps(context.to_state()) for source, context in self.contexts.items()}
        self.saved = contexts, self.learner.to_state(), Counter(self.counts)

    def crash(self) -> None:
        """kill -9: what is left is the checkpoint."""
        contexts, learner, counts = self.saved
        self.contexts = {s: PartitionContext.from_state(json.loads(c), POLICY) for s, c in contexts.items()}
        self.learner, self.counts = Learner.from_state(learner, LEARNING, CENTRE, 0), Counter(counts)
        self.begin()

    def labels(self) -> dict[tuple[str, int], list[float]]:
        """Of each judged record by its position: one label each, unless it counts twice."""
        rows, found = self.learner.judged.rows(), dict[tuple[str, int], list[float]]()
        for partition, offset, y in zip(rows["partition"], rows["offset"], rows["y"], strict=True):
            found.setdefault((partition, int(offset)), []).append(float(y))
        return found


class FeedbackMachine(RuleBasedStateMachine):
    """A node that scores, judges, saves and crashes in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.site = Site()
        self.worker = Worker(self.site)
        self.seen: list[tuple[Partition, int]] = []
        """Alerts that people have seen; after a crash the node may know less."""

    @rule(source=st.sampled_from(SOURCES))
    def score(self, source: Partition) -> None:
        self.site.record(source)
        self.worker.score(source)
        scored = (source, self.worker.contexts[source].next_offset - 1)
        if scored not in self.seen:
            self.seen.append(scored)

    @precondition(lambda self: self.seen)
    @rule(which=st.integers(0, 1000), kind=st.sampled_from(KINDS))
    def say(self, which: int, kind: VerdictKind) -> None:
        self.site.say(*self.seen[which % len(self.seen)], kind)

    @rule()
    def turn(self) -> None:
        self.worker.turn()

    @rule()
    def save(self) -> None:
        self.worker.save()

    @rule()
    def crash(self) -> None:
        self.worker.crash()

    def teardown(self) -> None:
        for source in SOURCES:
            for _ in range(self.site.end(source)):
                self.worker.score(source)
        self.worker.turn()
        label = {"attack": 1.0, "false_alarm": 0.0}
        expected = {
            (str(source), offset): [label[kind]]
            for source, offset in self.seen
            if (kind := self.site.newest.get(self.site.alert(source, offset))) in label
        }
        assert self.worker.labels() == expected
        assert not {"not_kept", "elsewhere", "unreadable"} & self.worker.counts.keys()
        ends = {context.feedback.next_offset for context in self.worker.contexts.values()}
        assert ends == {self.site.broker.topics[TOPIC].end(0)}


FeedbackMachine.TestCase.settings = hypothesis_settings(max_examples=40, stateful_step_count=30, deadline=None)
TestFeedback = FeedbackMachine.TestCase


@pytest.fixture
def site() -> Site:
    return Site()


def test_what_cannot_be_learned_is_counted_with_its_reason(site: Site) -> None:
    worker = Worker(site)
    site.record(SOURCES[0])
    worker.score(SOURCES[0])
    site.say(SOURCES[0], 10**15, "attack")  # of a record that does not exist
    site.say(SOURCES[0], 0, "attack", alert_id=site.alert(SOURCES[0], 0, "another life"))
    site.say(SOURCES[0], 0, "unknown")
    site.say(SOURCES[0], 0, "attack", federation="another")
    site.say(SOURCES[0], 0, "attack", detector="mlp")
    site.say(Partition("elsewhere", 0), 0, "attack")
    site.broker.producer().deliver([Outgoing(TOPIC, b"k", b"not a verdict"), Outgoing(TOPIC, b"k", None)])
    worker.turn()
    assert worker.counts == {"not_kept": 2, "nothing_to_take_back": 1, "unreadable": 1}
    assert worker.labels() == {}


def test_rows_of_windows_are_not_learned(site: Site) -> None:
    worker = Worker(site)
    worker.learner = Learner(LearningPolicy(window=5), CENTRE, 0)
    worker.begin()
    site.record(SOURCES[0])
    worker.contexts[SOURCES[0]].next_offset = 1
    site.say(SOURCES[0], 0, "attack")
    worker.turn()
    assert worker.counts == {"windows": 1}


def test_a_partition_that_moves_takes_its_alerts_along_and_leaves_what_was_learned(site: Site) -> None:
    one, two = Worker(site), Worker(site, "site/two", ())
    for _ in range(3):
        site.record(SOURCES[0])
        one.score(SOURCES[0])
    site.say(SOURCES[0], 0, "attack")
    one.turn()
    two.turn()
    site.say(SOURCES[0], 1, "attack")
    two.turn()  # reads past the second verdict, before the partition is its own
    moved = json.loads(json.dumps(one.contexts.pop(SOURCES[0]).to_state()))
    two.contexts[SOURCES[0]] = PartitionContext.from_state(moved, POLICY)
    for kind in ("false_alarm", "unknown", "false_alarm"):
        site.say(SOURCES[0], 0, kind)
    site.say(SOURCES[0], 2, "false_alarm")
    for _ in range(2):
        one.turn()
        two.turn()
    assert one.labels() == {("records:0", 0): [0.0]}
    assert two.labels() == {("records:0", 1): [1.0], ("records:0", 2): [0.0]}
    assert two.counts == {"elsewhere": 3, "learned": 2}


def test_a_topic_of_verdicts_that_was_made_again_is_read_from_its_beginning(site: Site) -> None:
    worker = Worker(site)
    for _ in range(3):
        site.record(SOURCES[0])
        worker.score(SOURCES[0])
    site.say(SOURCES[0], 0, "attack")
    worker.turn()
    worker.save()
    for crash in (False, True):
        site.broker.delete_topic(TOPIC)
        site.broker.create_topic(TOPIC)
        site.say(SOURCES[0], 1 + crash, "false_alarm")
        if crash:
            worker.crash()
        worker.turn()
        worker.turn()
        worker.save()
    assert worker.labels() == {("records:0", 0): [1.0], ("records:0", 1): [0.0], ("records:0", 2): [0.0]}


def test_verdicts_that_wait_are_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.edge_node.feedback.MOST_WAITING", 5)
    worker = Worker(site)
    site.record(SOURCES[0])
    for _ in range(2000):
        site.say(SOURCES[0], 0, "attack")
    for _ in range(5):
        worker.turn()
    assert worker.contexts[SOURCES[0]].feedback.next_offset == 0
    assert len(worker.feedback._waiting) <= 505
    worker.score(SOURCES[0])
    for _ in range(6):
        worker.turn()
    assert worker.contexts[SOURCES[0]].feedback.next_offset == 2000
    assert worker.counts == {"learned": 1, "changed": 1999}


@pytest.mark.parametrize("question", ["topic_id", "end", "beginning"])
def test_an_outage_while_the_topic_is_looked_for_only_delays(
    site: Site, question: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(site)
    site.record(SOURCES[0])
    worker.score(SOURCES[0])
    site.say(SOURCES[0], 0, "attack")

    def outage(*_: object) -> None:
        raise BrokerError("no broker")

    with monkeypatch.context() as during:
        during.setattr(worker.feedback._consumer, question, outage)
        worker.turn()
        assert worker.labels() == {}
    worker.turn()
    assert worker.labels() == {("records:0", 0): [1.0]}


def test_a_partition_that_comes_later_makes_no_other_one_go_back(site: Site) -> None:
    worker = Worker(site, sources=SOURCES[:1])
    for _ in range(1000):
        site.say(SOURCES[0], 10**15, "attack")
    for _ in range(3):
        worker.turn()
    assert worker.contexts[SOURCES[0]].feedback.next_offset == worker.counts["not_kept"] == 1000
    worker.contexts[SOURCES[1]] = PartitionContext.fresh("life", 0, POLICY)
    worker.turn()
    assert worker.contexts[SOURCES[0]].feedback.next_offset == 1000
    for _ in range(3):
        worker.turn()
    assert worker.counts == {"not_kept": 1000}
