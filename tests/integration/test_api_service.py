"""The API as a process on a real broker: kills, restarts, signals, wrong settings."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import httpx
import pytest

from schemas import Alert
from services.api.answers import AlertPage
from services.runtime.brokers import LocalBroker
from services.runtime.envelope import Sealer
from services.runtime.kafka import open_producer
from services.runtime.log import Outgoing
from services.runtime.processes import die_with_parent
from services.runtime.topics import Topics, ensure_topics
from tests import brokers
from tests.unit.api import kit

T = TypeVar("T")
DEADLINE_S = 60.0
KILLS = 3


class ApiProcess:
    """`python -m services.api.main` with its log in a file."""

    def __init__(self, directory: Path, servers: str, prefix: str, **settings: str) -> None:
        self.log = directory / "api.log"
        directory.mkdir(exist_ok=True)
        known = {
            "STATE_DIR": str(directory),
            "RECORDS__0__BOOTSTRAP_SERVERS": servers,
            "FEDERATION_CLUSTER__BOOTSTRAP_SERVERS": servers,
            "TOPIC_PREFIX": prefix,
            "PORT": "0",
            "LOG_FORMAT": "json",
        } | settings
        self.environment = os.environ | {f"STREAMGAUGE_API_{name}": value for name, value in known.items()}
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> None:
        """Start and wait until it listens."""
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.api.main"],
                env=self.environment,
                stderr=log,
                preexec_fn=die_with_parent,
            )
        found = wait_for(lambda: re.search(r'"url": "(http://[^"]+)"', self.log.read_text()), self.log)
        self.url = found[1]

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=10)

    def ingested(self) -> int:
        """Records stored since its start."""
        found = re.findall(r"^streamgauge_api_records_ingested_total\S* (\S+)$", self.get("/metrics").text, re.M)
        return sum(int(float(number)) for number in found)

    def until_ingested(self, number: int) -> None:
        wait_for(lambda: self.ingested() >= number, self.log)

    def ready(self) -> None:
        wait_for(lambda: self.get("/readyz").status_code == 200, self.log)


def wait_for(condition: Callable[[], T | None], log: Path) -> T:
    """The condition's first true value; the log is shown where it never comes."""
    deadline = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.05)
    return value


@pytest.fixture
def topics(best_broker: LocalBroker, topic_prefix: str) -> Topics:
    made = Topics(topic_prefix)
    ensure_topics(brokers.cluster_of(best_broker), (*made.records_specs(), *made.federation_specs()))
    return made


@pytest.fixture
def api(best_broker: LocalBroker, topics: Topics, tmp_path: Path) -> Iterator[ApiProcess]:
    made = ApiProcess(tmp_path / "api", best_broker.bootstrap_servers, topics.prefix)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.end(signal.SIGKILL)


def send(broker: LocalBroker, records: list[Outgoing]) -> None:
    producer = open_producer(brokers.cluster_of(broker), client_id="test", stop=threading.Event())
    producer.deliver(records)
    producer.close()


def all_alerts(api: ApiProcess) -> dict[UUID, Alert]:
    found: dict[UUID, Alert] = {}
    cursor = ""
    while True:
        page = AlertPage.model_validate_json(api.get(f"/alerts?limit=500{cursor}").content)
        found |= {each.alert_id: kit.bare(each) for each in page.items}
        if page.next_cursor is None:
            return found
        cursor = f"&cursor={page.next_cursor}"


def test_after_kills_the_api_says_what_the_topics_say(
    best_broker: LocalBroker, topics: Topics, api: ApiProcess
) -> None:
    chance = random.Random(11)
    sealer = Sealer("plant-a/w1", 1, None)
    batches = [
        [kit.alert(n, v) for n in range(b * 500, b * 500 + 500) for v in (1, 3, 2)] for b in range(KILLS + 1)
    ]
    for batch in batches[:-1]:
        send(best_broker, [sealer.seal(each, topics.alerts, str(each.alert_id).encode()) for each in batch])
        api.start()
        some = chance.choice((0, 1, 700, 1400))  # at its start or somewhere in its work
        api.until_ingested(some)
        assert api.end(signal.SIGKILL) == -signal.SIGKILL
    send(best_broker, [sealer.seal(each, topics.alerts, str(each.alert_id).encode()) for each in batches[-1]])
    send(best_broker, [sealer.seal(kit.release(n), topics.releases, b"default") for n in (1, 2)])
    send(best_broker, [sealer.seal(kit.status(incarnation=n), topics.nodes, b"plant-a/w1") for n in (2, 1)])
    api.start()
    api.ready()
    assert all_alerts(api) == {UUID(int=n): kit.alert(n, 3) for n in range(500 * len(batches))}
    assert [found["release_seq"] for found in api.get("/releases").json()["items"]] == [2, 1]
    assert api.get("/nodes").json()["items"][0]["status"]["incarnation"] == 2
    assert "streamgauge_api_ready 1.0" in api.get("/metrics").text
    assert api.end() == 0


def test_starts_before_the_broker_and_the_topics(
    own_embedded: LocalBroker, topic_prefix: str, tmp_path: Path
) -> None:
    own_embedded.stop()
    api = ApiProcess(
        tmp_path / "api",
        own_embedded.bootstrap_servers,
        topic_prefix,
        RECORDS__0__REQUEST_TIMEOUT_S="1",
        FEDERATION_CLUSTER__REQUEST_TIMEOUT_S="1",
    )
    api.start()
    assert api.get("/readyz").status_code == 503
    assert api.get("/alerts").json() == {"items": [], "next_cursor": None}
    own_embedded.start()
    topics = Topics(topic_prefix)
    ensure_topics(brokers.cluster_of(own_embedded), (*topics.records_specs(), *topics.federation_specs()))
    send(own_embedded, [Sealer("n", 1, None).seal(kit.alert(1), topics.alerts, b"k")])
    api.ready()
    wait_for(lambda: all_alerts(api), api.log)
    assert api.end(signal.SIGINT) == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"HOST": "0.0.0.0"}, "not loopback: set api_token"),
        ({"DATABASE_URL": "oracle://x"}, "allowed are sqlite and postgresql"),
        ({"AGGREGATOR_KEY_FILE": "/nowhere.pub"}, "/nowhere.pub"),
        ({"HOST": "192.0.2.1", "API_TOKEN": "sixteen characters"}, "host=192.0.2.1"),
    ],
)
def test_wrong_setting_ends_it_with_one_line(tmp_path: Path, settings: dict[str, str], words: str) -> None:
    api = ApiProcess(tmp_path, "127.0.0.1:9", "t.", **settings)
    ended = subprocess.run(
        [sys.executable, "-m", "services.api.main"],
        env=api.environment,
        capture_output=True,
        check=False,
        timeout=60,
    )
    lines = ended.stderr.decode().strip().splitlines()
    assert ended.returncode == 2
    assert len(lines) == 1
    assert words in lines[0]
    assert "sixteen" not in lines[0]
