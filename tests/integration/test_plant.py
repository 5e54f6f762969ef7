"""Simulated plants as a process, on Apache Kafka and on the embedded broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request

import pytest

from services.runtime.brokers import LocalBroker
from services.runtime.kafka import open_consumer
from services.runtime.log import LogRecord
from streamgauge.plant.plant import Plant
from streamgauge.profiles.decoder import Decoder
from streamgauge.profiles.profile import load_profile
from tests.brokers import cluster_of
from tests.support.processes import DEADLINE_S, until

COMMAND = [sys.executable, "-m", "services.cli", "plant"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("STREAMGAUGE_")}


@pytest.fixture(params=["kafka", "embedded"])
def broker(request: pytest.FixtureRequest) -> LocalBroker:
    chosen: LocalBroker = request.getfixturevalue(f"{request.param}_broker")
    return chosen


def read(broker: LocalBroker, topic: str, count: int) -> list[LogRecord]:
    consumer = open_consumer(cluster_of(broker), client_id="test")
    found: list[LogRecord] = []
    try:
        consumer.assign(dict.fromkeys(consumer.partitions(topic), 0))

        def all_there() -> bool:
            for records in consumer.poll(0.2).records.values():
                found.extend(records)
            return len(found) >= count

        until(all_there, lambda: f"{len(found)} of {count}")
        return found
    finally:
        consumer.close()


def test_a_day_part_of_two_plants_arrives_and_decodes(broker: LocalBroker, topic_prefix: str) -> None:
    options = ["--site", "a", "--site", "b", "--max", "--for", "20min", "--topic", f"{topic_prefix}{{site}}"]
    done = subprocess.run(
        [*COMMAND, *options, "--bootstrap", broker.bootstrap_servers],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert (last["phase"], last["sent"]) == ("done", {"a": 1200, "b": 1200})
    for number, site in enumerate(("a", "b")):
        decoded = Decoder(load_profile("plant")).decode(read(broker, f"{topic_prefix}{site}", 1200))
        assert decoded.rejected == []
        assert set(decoded.entities) == {site}
        plant = Plant(number, float(decoded.times[0]))
        assert decoded.values.tolist() == [list(plant.step().values.values()) for _ in range(1200)]


def test_a_running_stream_is_attacked_and_stopped(broker: LocalBroker, topic_prefix: str) -> None:
    options = ["--speed", "200x", "--topic", f"{topic_prefix}live", "--bootstrap", broker.bootstrap_servers]
    process = subprocess.Popen([*COMMAND, *options], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["metrics_port"]
        attack = {"class": "replay", "points": ["LIT101", "FIT101"], "duration_s": 100}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/attacks",
            data=json.dumps(attack).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as reply:
            assert reply.status == 202
        line = json.loads(process.stdout.readline())
        while line["attacks"]["plant"] < 100 and process.poll() is None:
            line = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()
        process.wait()
    last = json.loads(out.splitlines()[-1])
    assert (process.returncode, last["phase"], last["attacks"]) == (0, "stopped", {"plant": 100})
    records = read(broker, f"{topic_prefix}live", last["sent"]["plant"])
    labels = [json.loads(record.value or b"")["attack_class"] for record in records]
    assert [label for label in labels if label] == ["replay"] * 100
