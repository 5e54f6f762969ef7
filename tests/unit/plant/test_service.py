"""`streamgauge plant`: what it writes, how it is paced, attacked and carried on."""

from __future__ import annotations

import io
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from typing_extensions import override

from services.plant.formats import Messages
from services.plant.loop import Loop
from services.plant.main import run, settings_of
from services.plant.metrics import PlantMetrics
from services.plant.orders import orders_of
from services.plant.outputs import Topics
from services.plant.settings import PlantSettings
from services.plant.sites import Sites
from services.runtime.errors import SettingsError
from services.runtime.http import serve_status
from services.runtime.log import Outgoing, Producer, Sent
from services.runtime.settings import load_settings
from streamgauge.errors import ConfigurationError
from streamgauge.plant.attacks import Attack
from streamgauge.plant.plant import Plant, Reading
from streamgauge.plant.tags import TAGS
from streamgauge.profiles.decoder import Decoder
from streamgauge.profiles.loaders import load
from streamgauge.profiles.profile import load_profile
from tests.unit.plant.kit import plant

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CLUSTER = {"bootstrap_servers": "127.0.0.1:1"}


class Record(NamedTuple):
    timestamp: int
    key: bytes | None
    value: bytes | None


def attacked(count: int = 60) -> list[Reading]:
    hit = plant(1, NOW.timestamp())
    hit.attack(Attack("data-injection", ("LIT101",), 20, 30, value=1000.0))
    return list(islice(hit, count))


def messages(readings: Sequence[Reading], *, long: bool = False, labels: bool = True) -> list[Outgoing]:
    made = Messages("north", "north.records", 3, long=long, labels=labels)
    return [message for reading in readings for message in made.of(reading)]


def test_the_profile_reads_the_wide_messages_and_shares_swats_features() -> None:
    readings = attacked()
    sent = messages(readings)
    records = [Record(m.timestamp_ms or 0, m.key, m.value) for m in sent]
    decoded = Decoder(load_profile("plant"), learn_labels=True).decode(records)
    assert decoded.rejected == []
    assert decoded.values.tolist() == [list(reading.values.values()) for reading in readings]
    assert decoded.times.tolist() == [reading.t for reading in readings]
    assert set(decoded.entities) == {"north"}
    assert decoded.labels.tolist() == [0.0] * 20 + [1.0] * 30 + [0.0] * 10
    assert load_profile("plant").schema.hash == load_profile("swat").schema.hash
    assert len({m.partition for m in sent}) == 1


def test_the_truth_is_in_a_header_and_in_the_record_only_where_it_is_wanted() -> None:
    readings = attacked(25)
    hidden, shown = messages(readings, labels=False), messages(readings)
    assert json.loads(shown[21].value or b"")["attack_class"] == "data-injection"
    assert "label" not in json.loads(hidden[21].value or b"")
    for sent in (hidden, shown):
        truths = [json.loads(dict(m.headers)["sg_truth"]) for m in sent]
        assert truths[0] == {"label": "normal", "attack": False}
        assert truths[21] == {"label": "data-injection", "attack": True, "points": ["LIT101"]}


def test_long_messages_hold_one_tag_each() -> None:
    readings = attacked(22)
    sent = [json.loads(m.value or b"") for m in messages(readings, long=True)]
    assert len(sent) == 22 * 51
    assert [message["tag"] for message in sent[:51]] == list(TAGS)
    assert sent[-50] == {
        "t": "2026-03-01T12:00:21Z",
        "plant": "north",
        "tag": "LIT101",
        "value": 1000.0,
        "label": "attack",
        "attack_class": "data-injection",
        "attack_points": ["LIT101"],
    }


def settings(**values: Any) -> PlantSettings:
    return load_settings(PlantSettings, **({"speed": 0, "start": NOW} | values))


def test_a_file_is_read_back_by_its_loader(tmp_path: Path) -> None:
    (tmp_path / "attacks.toml").write_text(
        '[[attack]]\nsite = "b"\nclass = "replay"\npoints = ["LIT301", "P301"]\nstart_s = 100\nduration_s = 50\n'
    )
    out = tmp_path / "data" / "day.csv"
    out.parent.mkdir()
    chosen = settings(sites=("a", "b"), out=out, for_s="5min", attacks=str(tmp_path / "attacks.toml"))
    run(chosen, threading.Event())
    table = load("plant", out.parent)
    assert len(table) == 600
    assert table.times[::2].tolist() == [NOW.timestamp() + second for second in range(300)]
    kinds = table.attack_types
    assert set(kinds[table.entities == "a"]) == {"normal"}
    assert kinds[table.entities == "b"].tolist() == ["normal"] * 100 + ["replay"] * 50 + ["normal"] * 150
    expected = [list(reading.values.values()) for reading in islice(Plant(0, NOW.timestamp()), 300)]
    assert np.array_equal(table.matrix(list(TAGS))[table.entities == "a"], np.array(expected, np.float64))
    with pytest.raises(SettingsError, match="choose another"):
        run(chosen, threading.Event())


@pytest.mark.parametrize("layout", ["wide", "long"])
def test_a_restart_goes_on_where_it_ended(layout: str, tmp_path: Path) -> None:
    at_once, twice = tmp_path / "once.csv", tmp_path / "twice.csv"
    common = {"layout": layout, "attacks": "schedule", "calm_s": 20, "seed": 3}
    run(settings(out=at_once, for_s=120, **common), threading.Event())
    for _ in range(2):
        run(settings(out=twice, for_s=60, state_dir=tmp_path / "state", **common), threading.Event())
    assert twice.read_text() == at_once.read_text()
    assert ",attack," in at_once.read_text()


def order(port: int, path: str, body: bytes, content_type: str = "application/json") -> tuple[int, str]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data=body, headers={"Content-Type": content_type}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_attacks_come_on_command_from_this_machine_as_json() -> None:
    sites = Sites(settings(sites=("a", "b"), records=CLUSTER), NOW)
    status = serve_status("127.0.0.1", 0, lambda: True, registry=CollectorRegistry(), orders=orders_of(sites))
    try:
        list(sites.seconds(10))
        attack = b'{"class": "denial-of-service", "points": ["LIT101"], "duration_s": 5, "site": "b"}'
        code, text = order(status.port, "/attacks", attack)
        assert code == 202
        assert json.loads(text)["items"][0]["start"] == 10
        hit = list(sites.seconds(8))
        assert [site for site, reading in hit if reading.attacks] == ["b"] * 5
        assert order(status.port, "/attacks", b"[]")[0] == 400
        code, text = order(status.port, "/attacks", b'{"class": "replay", "points": ["LIT101"], "site": "c"}')
        assert (code, text) == (400, "site 'c': use one of a, b\n")
        assert order(status.port, "/attacks", attack, "text/plain")[0] == 415
        assert order(status.port, "/nothing", attack) == (
            404,
            "/metrics /healthz /readyz POST /attacks POST /schedule\n",
        )
        assert order(status.port, "/schedule", b"{}")[0] == 202
        kinds = {reading.attack_class for _, reading in sites.seconds(3600)}
        assert len(kinds - {""}) >= 1
    finally:
        status.close()
    with pytest.raises(SettingsError, match=r"use 127\.0\.0\.1"):
        serve_status("0.0.0.0", 0, lambda: True, orders=orders_of(sites))


class Kept(Producer):
    """A producer that keeps what it is given."""

    def __init__(self) -> None:
        self.batches: list[list[Outgoing]] = []

    @override
    def prepare(self, topics: Iterable[str]) -> None:
        pass

    @override
    def deliver(self, records: Sequence[Outgoing]) -> list[Sent]:
        self.batches.append(list(records))
        return []

    @override
    def close(self) -> None:
        pass


def test_event_time_runs_at_its_speed_and_catches_up_little_after_an_outage() -> None:
    chosen, producer, clock, made = settings(sites=("a", "b"), records=CLUSTER), Kept(), [0.0], list[int]()
    out, sites = io.StringIO(), Sites(chosen, NOW)

    class Stop(threading.Event):
        """Whoever waits for it lets 0.1 s pass, and 5 s once; set after 30 times."""

        def wait(self, timeout: float | None = None) -> bool:
            clock[0] += 5.0 if len(made) == 10 else 0.1
            made.append(sites.passed_s)
            if len(made) == 30:
                self.set()
            return self.is_set()

    loop = Loop(sites, Topics(chosen, producer), PlantMetrics(), 100, 0, lambda: clock[0])
    loop.run(Stop(), out, metrics_port=1)
    assert made[:4] == [0, 10, 20, 30]
    assert made[11] - made[10] == pytest.approx(200, abs=11), "2 s of the 5 are caught up"
    last = json.loads(out.getvalue().splitlines()[-1])
    assert (last["phase"], last["metrics_port"]) == ("stopped", 1)
    assert last["sent"] == {"a": sites.passed_s, "b": sites.passed_s}
    assert sum(map(len, producer.batches)) == 2 * sites.passed_s
    assert {m.topic for batch in producer.batches for m in batch} == {"a.records", "b.records"}


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({}, "say where the records go"),
        ({"out": "x.csv", "records": CLUSTER}, "say where the records go"),
        ({"out": "x.csv", "for_s": "3x"}, "use s, min, h or d"),
        ({"records": CLUSTER, "sites": ["a", "b"], "topic": "all"}, "must contain {site}"),
        ({"out": "x.csv", "sites": ["a", "a"]}, "each name once"),
    ],
)
def test_a_wrong_setting_is_said(wrong: dict[str, Any], hint: str) -> None:
    with pytest.raises(SettingsError, match=hint):
        load_settings(PlantSettings, **wrong)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"for_s": "soon"}, "--for soon: "),
        ({"speed": "-1"}, "--speed -1: "),
        ({"layout": "tall"}, "--layout tall: "),
    ],
)
def test_what_is_wrong_in_an_option_is_said_of_the_option(options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_of({"out": "x.csv", **options})
    assert str(caught.value).startswith(said)
    assert "STREAMGAUGE" not in str(caught.value)


def test_durations_and_speeds_are_read_as_people_write_them() -> None:
    read = settings(out="x.csv", for_s="1.5h", speed="250x", calm_s="2d")
    assert (read.for_s, read.speed, read.calm_s) == (5400, 250, 172_800)


def test_a_file_of_attacks_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"give none, schedule or a TOML file"):
        Sites(settings(out="x.csv", attacks=str(tmp_path / "no.toml")), NOW)
