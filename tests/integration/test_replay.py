"""The replay as a process, on Apache Kafka and on the embedded broker, with either client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.runtime.brokers import LocalBroker
from services.runtime.kafka import open_consumer
from services.runtime.log import LogRecord, Partition
from streamgauge.profiles.decoder import Decoder
from streamgauge.profiles.profile import load_profile
from tests.brokers import cluster_of
from tests.support.dataset_files import SWAT_ATTACK, SWAT_NORMAL

DEADLINE_S = 60
Start = Callable[..., "subprocess.Popen[str]"]
BURSTS = "nsl-kdd nsl-kdd-sample --sites east=3,west=1 --bursts normal=800,length=800"


@pytest.fixture(params=["kafka", "embedded"])
def broker(request: pytest.FixtureRequest) -> LocalBroker:
    chosen: LocalBroker = request.getfixturevalue(f"{request.param}_broker")
    return chosen


@pytest.fixture
def start(broker: LocalBroker, topic_prefix: str) -> Start:
    """Start a replay process with the given words and settings."""

    def begin(words: str, **settings: str) -> subprocess.Popen[str]:
        own = {f"STREAMGAUGE_REPLAY_{name}": value for name, value in settings.items()}
        others = {name: value for name, value in os.environ.items() if not name.startswith("STREAMGAUGE_REPLAY_")}
        command = [sys.executable, "-m", "services.cli", "replay", *words.split()]
        command += ["--topic", f"{topic_prefix}{{site}}", "--bootstrap-servers", broker.bootstrap_servers]
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


@pytest.mark.parametrize("client", ["kafka-python", "librdkafka"])
def test_what_is_sent_arrives_and_decodes_even_with_event_times_in_the_future(
    broker: LocalBroker, topic_prefix: str, start: Start, client: str
) -> None:
    process = start(f"{BURSTS} --max --stop-row 2000 --every 60s --times now", CLIENT=client)
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


@pytest.mark.parametrize("client", ["kafka-python", "librdkafka"])
def test_files_of_2015_arrive_with_their_own_times_in_order_of_time(
    broker: LocalBroker, topic_prefix: str, start: Start, client: str, tmp_path: Path
) -> None:
    (tmp_path / "SWaT_Dataset_Attack_v0.csv").write_bytes(SWAT_ATTACK)
    (tmp_path / "SWaT_Dataset_Normal_v1.csv").write_bytes(SWAT_NORMAL)
    process = start(f"swat {tmp_path} --speed 1000x --longest-gap 0.2s --send-labels", CLIENT=client)
    out, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, errors
    assert lines(out)[-1]["attacks"] == {"site-1": 2}
    records = read(broker, f"{topic_prefix}site-1", 5)
    decoded = Decoder(load_profile("swat"), learn_labels=True).decode(records)
    assert decoded.labels.tolist() == [0, 0, 0, 1, 1]
    assert [record.timestamp / 1000 for record in records] == decoded.times.tolist()


def test_a_finished_replay_that_is_repeated_sends_nothing_and_says_so(
    broker: LocalBroker, topic_prefix: str, start: Start, tmp_path: Path
) -> None:
    (tmp_path / "SWaT_Dataset_Normal_v1.csv").write_bytes(SWAT_NORMAL)
    kept = tmp_path / "position.json"
    for said in (
        "",
        f"--resume {kept}: all was sent before, nothing is sent now; remove the file to send it anew",
    ):
        process = start(f"swat {tmp_path}/*.csv --max --resume {kept}")
        out, errors = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0, errors
        assert said in errors
        assert bool(out) != bool(said)
    read(broker, f"{topic_prefix}site-1", 2)


def test_sigterm_ends_an_endless_replay_with_a_last_line(start: Start) -> None:
    process = start("nsl-kdd nsl-kdd-sample --bursts default --rate 200/s")
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, errors
    assert first["phase"] == "normal"
    assert 50 < first["rate"] < 400
    assert lines(out)[-1]["phase"] == "stopped"
    assert sum(lines(out)[-1]["sent"].values()) >= sum(first["sent"].values())


def test_a_wrong_word_is_one_line_and_exit_code_2(start: Start) -> None:
    process = start("nsl-kdd nowhere.csv")
    _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 2
    assert errors.splitlines()[-1] == (
        "data 'nowhere.csv': no such file or folder, and no file matches it as a pattern"
    )
