"""The replay as a process, on Apache Kafka and on the embedded broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from services.runtime.brokers import LocalBroker
from services.runtime.kafka import open_consumer
from services.runtime.log import LogRecord, Partition
from streamgauge.profiles.decoder import Decoder
from streamgauge.profiles.profile import load_profile
from tests.brokers import cluster_of

DEADLINE_S = 60
PREFIX = "STREAMGAUGE_REPLAY_"


@pytest.fixture(params=["kafka", "embedded"])
def broker(request: pytest.FixtureRequest) -> LocalBroker:
    chosen: LocalBroker = request.getfixturevalue(f"{request.param}_broker")
    return chosen


@pytest.fixture
def start(broker: LocalBroker, topic_prefix: str) -> Callable[..., subprocess.Popen[str]]:
    """Start a replay process with settings for two sites."""

    def begin(**settings: object) -> subprocess.Popen[str]:
        chosen = {
            "RECORDS__BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "TOPIC": f"{topic_prefix}{{site}}",
            "SITES": '{"east": 3, "west": 1}',
        } | settings
        own = {f"{PREFIX}{name}": str(value) for name, value in chosen.items()}
        others = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        command = [sys.executable, "-m", "services.replay.main"]
        return subprocess.Popen(
            command, env=others | own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    return begin


def read(broker: LocalBroker, topic: str, count: int) -> list[LogRecord]:
    consumer = open_consumer(cluster_of(broker), client_id="test")
    try:
        partitions = consumer.partitions(topic)
        consumer.assign(dict.fromkeys(partitions, 0))
        found: dict[Partition, list[LogRecord]] = {partition: [] for partition in partitions}
        deadline = time.monotonic() + DEADLINE_S
        while sum(map(len, found.values())) < count and time.monotonic() < deadline:
            for partition, records in consumer.poll(0.2).records.items():
                found[partition] += records
        assert sum(consumer.end(partition) for partition in partitions) == count
        return [record for records in found.values() for record in records]
    finally:
        consumer.close()


def lines(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_what_is_sent_arrives_and_decodes_even_with_event_times_in_the_future(
    broker: LocalBroker, topic_prefix: str, start: Callable[..., subprocess.Popen[str]]
) -> None:
    settings = {"RATE": 0, "TOTAL_RECORDS": 2000, "NORMAL_RECORDS": 800, "BURST_RECORDS": 800, "STEP_S": 60}
    process = start(**settings, BACKDATE_S=0)
    out, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, errors
    last = lines(out)[-1]
    assert (last["phase"], last["sent"]) == ("done", {"east": 1500, "west": 500})
    assert sum(last["attacks"].values()) == 40, "5 % of the burst"
    decoder = Decoder(load_profile("nsl-kdd"))
    for site, count in last["sent"].items():
        records = read(broker, f"{topic_prefix}{site}", count)
        decoded = decoder.decode(records)
        assert decoded.rejected == []
        truths = [json.loads(dict(record.headers)["sg_truth"])["attack"] for record in records]
        assert sum(truths) == last["attacks"][site]
        assert decoded.times.max() - decoded.times.min() > 86_400, (
            "records of days, most of them ahead of the clock"
        )


def test_sigterm_ends_an_endless_replay_with_a_last_line(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start(RATE=200)
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, errors
    assert first["phase"] == "normal"
    assert 50 < first["rate"] < 400
    assert lines(out)[-1]["phase"] == "stopped"
    assert sum(lines(out)[-1]["sent"].values()) >= sum(first["sent"].values())


def test_a_wrong_setting_is_one_line_and_exit_code_2(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start(DATA="nowhere.csv")
    _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 2
    assert errors.splitlines()[-1] == (
        "data 'nowhere.csv': no such file; give the path of a .csv or .csv.gz, or 'nsl-kdd-sample'"
    )
