"""`dead-letters list|show|replay` and `profile infer|check TOPIC` as processes, on each kind of broker."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.dead_letters.letters import Letter, between, read_letters
from services.edge_node.dead_letters import Refused, dead_letter
from services.runtime.brokers import LocalBroker
from services.runtime.kafka import open_admin, open_consumer, open_producer
from services.runtime.log import LogRecord, Outgoing, Partition
from services.runtime.topics import TopicSpec
from tests.brokers import cluster_of
from tests.support.plant import PROFILE
from tests.unit.edge_node.kit import good

DEADLINE_S = 120
LETTERS = 450  # more than two chunks of a replay
Command = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(params=["kafka", "embedded"])
def broker(request: pytest.FixtureRequest) -> LocalBroker:
    chosen: LocalBroker = request.getfixturevalue(f"{request.param}_broker")
    return chosen


@dataclass
class Site:
    """A site's cluster with good records, bad ones, and the dead letters of these."""

    broker: LocalBroker
    prefix: str
    directory: Path

    def __post_init__(self) -> None:
        self.cluster = cluster_of(self.broker)
        self.topic, self.letters = f"{self.prefix}records", f"{self.prefix}dead-letters"
        (self.directory / "plant.toml").write_text(PROFILE)
        (self.directory / "mended.toml").write_text(PROFILE.replace('field = "power"', 'field = "kilowatts"'))
        with open_admin(self.cluster, client_id="test") as admin:
            admin.create([TopicSpec(self.topic, 2, {}), TopicSpec(self.letters, 3, {})])

    def fill(self, bad: int) -> None:
        producer = open_producer(self.cluster, client_id="test", stop=threading.Event())
        records = [good(i, flow=i % 7 / 10) for i in range(bad)]
        renamed = [{("kilowatts" if k == "power" else k): v for k, v in r.items()} for r in records]
        sent = [Outgoing(self.topic, b"k", json.dumps(r).encode(), (), i % 2) for i, r in enumerate(renamed)]
        producer.deliver(sent)
        producer.deliver(
            [dead_letter(self.letters, "site/one", Refused(r, "missing-field", "'power'")) for r in self.records()]
        )
        producer.close()

    def records(self) -> list[LogRecord]:
        consumer = open_consumer(self.cluster, client_id="test")
        try:
            return list(between(consumer, {Partition(self.topic, n): 0 for n in (0, 1)}))
        finally:
            consumer.close()

    def dead(self) -> list[Letter]:
        consumer = open_consumer(self.cluster, client_id="test")
        try:
            return read_letters(consumer, self.letters)
        finally:
            consumer.close()

    def start(self, *words: str, profile: str = "plant.toml") -> subprocess.Popen[str]:
        others = {name: value for name, value in os.environ.items() if not name.startswith("STREAMGAUGE_")}
        own = {
            "STREAMGAUGE_EDGE_RECORDS__BOOTSTRAP_SERVERS": self.broker.bootstrap_servers,
            "STREAMGAUGE_EDGE_TOPIC_PREFIX": self.prefix,
            "STREAMGAUGE_EDGE_PROFILE": str(self.directory / profile),
        }
        return subprocess.Popen(
            [sys.executable, "-m", "services.cli", *words],
            env=others | own,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, profile: str = "plant.toml") -> tuple[int, str, str]:
        """Exit code, output, errors."""
        process = self.start(*words, profile=profile)
        out, errors = process.communicate(timeout=DEADLINE_S)
        return process.returncode, out, errors


@pytest.fixture
def site(broker: LocalBroker, topic_prefix: str, tmp_path: Path) -> Site:
    return Site(broker, topic_prefix, tmp_path)


def test_dead_letters_are_listed_shown_and_sent_again(site: Site) -> None:
    site.fill(4)
    code, out, errors = site.run("dead-letters", "list", "--reason", "missing-field")
    assert (code, errors) == (0, "")
    assert out.startswith(
        "4 records set aside, 0 of them sent again since\n       4  missing-field: give the field"
    )
    code, out, errors = site.run("dead-letters", "list", "--reason", "unknown")
    assert (code, out) == (2, "")
    assert errors.startswith("--reason unknown: no such reason; known: bad-entity, ")
    assert len(errors.splitlines()) == 1
    code, out, _ = site.run("dead-letters", "show", f"{site.topic}:1:1")
    assert code == 0
    assert "now       missing-field: 'power' is missing and its rule is 'reject'" in out
    assert site.run("dead-letters", "show", f"{site.topic}:1:99")[0] == 1
    code, out, _ = site.run("dead-letters", "replay")
    assert code == 1
    assert out.startswith("0 sent again, 4 stay, 0 were sent again before\n       4  missing-field")
    code, out, errors = site.run("dead-letters", "replay", profile="mended.toml")
    assert (code, out, errors) == (0, "4 sent again, 0 stay, 0 were sent again before\n", "")
    code, out, _ = site.run("dead-letters", "replay", profile="mended.toml")
    assert (code, out) == (0, "0 sent again, 0 stay, 4 were sent again before\n")
    assert len(site.records()) == 8


def test_two_replays_at_once_send_each_letter_once(site: Site) -> None:
    site.fill(LETTERS)
    both = [site.start("dead-letters", "replay", profile="mended.toml") for _ in range(2)]
    ends = [(process.communicate(timeout=DEADLINE_S), process.returncode) for process in both]
    for (out, errors), code in ends:  # a broker that stood still, as on a busy machine, stops a replay too
        assert code == 0 or (code == 2 and re.search("is at work|stood still|failed at", errors)), (out, errors)
    assert site.run("dead-letters", "replay", profile="mended.toml")[0] == 0
    copies = [dict(r.headers)["sg_replayed_from"] for r in site.records() if dict(r.headers)]
    assert len(copies) == len(set(copies)) == LETTERS, ends
    assert all(letter.replayed for letter in site.dead())


def test_a_profile_is_proposed_for_a_topic_and_tried_on_it(site: Site) -> None:
    site.fill(40)
    servers = ("--bootstrap-servers", site.broker.bootstrap_servers)
    code, proposal, errors = site.run("profile", "infer", site.topic, *servers)
    assert code == 0, errors
    (site.directory / "proposed.toml").write_text(proposal)
    code, out, errors = site.run("profile", "check", str(site.directory / "proposed.toml"), site.topic, *servers)
    assert (code, errors) == (0, ""), out
    assert out.startswith("40 of 40 records accepted\n")
    code, out, _ = site.run("profile", "check", str(site.directory / "plant.toml"), site.topic, *servers)
    assert code == 1
    assert "0 of 40 records accepted" in out
    assert "missing-field" in out
    code, out, errors = site.run("profile", "infer", f"{site.topic}-not", *servers)
    assert (code, out) == (2, "")
    assert "is no file, and no topic of the records cluster" in errors
    assert site.run("profile", "check", "no-such-profile", site.topic, *servers)[0] == 2
