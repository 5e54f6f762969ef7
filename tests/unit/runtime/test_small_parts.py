"""Atomic files, lifecycle, logging, status server, topic differences, the log's outages, keys and doctor."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import urllib.error
import urllib.request
from itertools import islice
from pathlib import Path

import pytest
import structlog
from prometheus_client import CollectorRegistry, Counter

from services import doctor, keys
from services.runtime.atomic import write_atomic
from services.runtime.database import open_database
from services.runtime.errors import SettingsError, StoppedError
from services.runtime.http import serve_status
from services.runtime.lifecycle import run_service, stop_event
from services.runtime.log import Committed, Outgoing, Partition
from services.runtime.logging import get_logger, setup_logging
from services.runtime.memory import MemoryBroker
from services.runtime.topics import Topics, TopicSpec, TopicState, differences


def test_a_file_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state" / "file"
    write_atomic(path, b"old")
    assert path.stat().st_mode & 0o777 == 0o600

    def full(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_signals_set_the_stop_event() -> None:
    former = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        stop = stop_event()
        assert not stop.is_set()
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_set()
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), former, strict=True):
            signal.signal(number, handler)


def test_errors_at_the_start_are_one_line_and_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    def wrong() -> None:
        raise SettingsError("X=1: must be 2")

    def stopped() -> None:
        raise StoppedError("asked to")

    assert run_service(wrong) == 2
    assert capsys.readouterr().err == "X=1: must be 2\n"
    assert (run_service(stopped), run_service(lambda: None)) == (0, 0)

    def defect() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_service(defect)


def test_logs_are_json_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    root, handlers = logging.getLogger(), logging.getLogger().handlers[:]
    try:
        setup_logging("json", "info", service="edge")
        get_logger("part").info("hello", sasl_password="geheim", topic="t")
        get_logger("part").debug("not shown")
        logging.getLogger("alembic.runtime").warning("third party")
    finally:
        root.handlers[:] = handlers
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert first["event"] == "hello"
    assert (first["service"], first["component"], first["topic"]) == ("edge", "part", "t")
    assert first["sasl_password"] == "**********"
    assert second["event"] == "third party"


def get(port: int, path: str, host: str = "localhost") -> tuple[int, str]:
    question = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Host": host})
    try:
        with urllib.request.urlopen(question, timeout=5) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_status_server_shows_metrics_and_health() -> None:
    registry, ready = CollectorRegistry(), threading.Event()
    Counter("records", "Records.", registry=registry).inc(3)
    server = serve_status("127.0.0.1", 0, ready=ready.is_set, registry=registry)
    assert "records_total 3.0" in get(server.port, "/metrics")[1]
    assert get(server.port, "/healthz")[0] == 200
    assert get(server.port, "/readyz")[0] == 503
    ready.set()
    assert get(server.port, "/readyz?x=1")[0] == 200
    assert get(server.port, "/other")[0] == 404
    with pytest.raises(SettingsError, match=f"metrics_port={server.port}"):
        serve_status("127.0.0.1", server.port, ready=ready.is_set)
    server.close()


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:{port}", 200), ("localhost:{port}", 200), ("LOCALHOST", 200), ("[::1]:{port}", 200),
     ("127.0.0.2", 400), ("evil.example:{port}", 400), ("evil.example", 400), ("", 400),
     ("127.0.0.1.evil.example:{port}", 400)],
)  # fmt: skip
def test_a_web_page_with_a_name_of_its_own_cannot_read_the_status_server(host: str, status: int) -> None:
    server = serve_status("127.0.0.1", 0, ready=lambda: True, registry=CollectorRegistry())
    found = {get(server.port, path, host.format(port=server.port))[0] for path in ("/metrics", "/healthz")}
    server.close()
    assert found == {status}


def test_beyond_loopback_any_name_will_do() -> None:
    """As in a container, whose monitoring asks for it by a name of its own."""
    server = serve_status("0.0.0.0", 0, ready=lambda: True, registry=CollectorRegistry())
    assert get(server.port, "/healthz", "aggregator:9100")[0] == 200
    server.close()


def test_topic_names_and_specs() -> None:
    topics = Topics("x.")
    names = {spec.name for spec in topics.records_specs() + topics.federation_specs()}
    assert names == {
        "x.alerts", "x.dead-letters", "x.contexts", "x.nodes", "x.rounds", "x.updates", "x.votes", "x.models",
        "x.releases", "x.feedback",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (TopicState(1, {"cleanup.policy": "compact", "max.message.bytes": "2000"}), []),
        (TopicState(3, {"cleanup.policy": "compact"}), ["has 3 partitions, needs 1"]),
        (TopicState(1, {"cleanup.policy": "delete"}), ["has cleanup.policy=delete, needs compact"]),
        (TopicState(1, {"max.message.bytes": "10"}), ["up to 10 bytes, needs 1000"]),
    ],
)
def test_differences_of_topics_are_in_plain_words(state: TopicState, said: list[str]) -> None:
    found = differences(TopicSpec("t", 1, {"cleanup.policy": "compact"}, 1000), state)
    assert len(found) == len(said)
    assert all(part in line for part, line in zip(said, found, strict=True))


def test_an_outage_of_the_log_in_process() -> None:
    broker, stop = MemoryBroker(), threading.Event()
    broker.create_topic("t")
    consumer, producer, partition = broker.consumer("g"), broker.producer(stop), Partition("t", 0)
    producer.deliver([Outgoing("t", b"k", b"v")])
    consumer.assign({partition: 0})
    broker.pause()
    assert not consumer.poll(0).records
    assert not consumer.commit({partition: Committed(1, "")})
    stop.set()
    with pytest.raises(StoppedError):
        producer.deliver([Outgoing("t", b"k", b"v")])
    broker.resume()
    assert len(consumer.poll(0).records[partition]) == 1
    broker.delete_records(partition, 1)
    assert (consumer.beginning(partition), consumer.end(partition)) == (1, 1)


def test_keys_are_made_and_enrolled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert keys.create_command("site/1", tmp_path) == 0
    assert keys.create_command("site/1", tmp_path) == 2
    public, nodes = tmp_path / "site__1.pub", tmp_path / "nodes"
    assert keys.enrol_command(public, nodes) == 0
    assert keys.enrol_command(public, nodes) == 0
    assert keys.enrol_command(tmp_path / "site__1.key", nodes) == 2
    (tmp_path / "site__1.key").unlink()
    keys.create_command("site/1", tmp_path)
    assert keys.enrol_command(public, nodes) == 2
    captured = capsys.readouterr()
    assert "site/1 is enrolled" in captured.out
    assert "another key of site/1 is enrolled" in captured.err
    assert "only the public half" in captured.err


def test_the_doctor_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in list(os.environ):
        if name.startswith(("STREAMGAUGE_EDGE", "STREAMGAUGE_AGG", "STREAMGAUGE_API", "STREAMGAUGE_REPLAY")):
            monkeypatch.delenv(name)
    assert doctor.main() == 2
    for name, value in {
        "SIGNING_KEY_FILE": str(tmp_path / "none.key"),
        "NODES_KEYS_DIR": str(tmp_path),
        "STATE_DIR": str(tmp_path),
        "FEDERATION_CLUSTER__BOOTSTRAP_SERVERS": "127.0.0.1:9",
        "FEDERATION_CLUSTER__REQUEST_TIMEOUT_S": "1",
    }.items():
        monkeypatch.setenv(f"STREAMGAUGE_AGGREGATOR_{name}", value)
    monkeypatch.setenv("STREAMGAUGE_REPLAY_PARTITION", "3")
    assert doctor.main() == 1
    said = capsys.readouterr().out
    assert "none.key: No such file" in said
    assert "no node is enrolled" in said
    assert "connecting failed at 127.0.0.1:9" in said
    assert "STREAMGAUGE_REPLAY_PARTITION: no such setting; did you mean STREAMGAUGE_REPLAY_PARTITIONS?" in said


def test_the_doctor_looks_at_the_api_s_database_and_token_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(**settings: str) -> str:
        for name, value in settings.items():
            monkeypatch.setenv(f"STREAMGAUGE_API_{name.upper()}", value)
        # As far as the cluster, which is not there and would be waited for.
        return "\n".join(text for _, text in islice(doctor._api(), 3))

    cluster = {"bootstrap_servers": "127.0.0.1:9", "request_timeout_s": 1}
    text = said(state_dir=str(tmp_path), records=json.dumps([cluster]), api_token_file=str(tmp_path / "token"))
    assert f"api_token_file={tmp_path / 'token'}: No such file" in text
    assert "api.sqlite is not there yet; the service makes it" in text
    (tmp_path / "token").write_text("a token of more than sixteen characters")
    (tmp_path / "api.sqlite").write_text("this is no database, whatever its name says " * 30)
    text = said()
    assert f"api_token_file {tmp_path / 'token'} can be read" in text
    assert "file is not a database" in text
    (tmp_path / "api.sqlite").unlink()
    open_database(f"sqlite:///{tmp_path / 'api.sqlite'}", "services.api:migrations").close()
    before = (tmp_path / "api.sqlite").read_bytes()
    assert "api.sqlite answers (" in said()
    assert (tmp_path / "api.sqlite").read_bytes() == before
    text = said(database_url="postgresql://u:geheim@127.0.0.1:9/x")
    assert "database_url=postgresql+psycopg://u:***@127.0.0.1:9/x: cannot be used" in text
    assert "geheim" not in text
