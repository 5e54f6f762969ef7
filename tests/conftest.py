"""Fixtures shared by all suites: brokers, the log on each of them, and an honest last line."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from services.runtime.brokers import LocalBroker, kafka
from services.runtime.errors import BrokerError
from tests import brokers
from tests.backends import KAFKA_BACKENDS, LogBackend, MemoryBackend
from tests.support.examples import ORDINARY, THOROUGH

# No deadline for an example: time is measured in benchmarks, a busy machine is no bug.
settings.register_profile("project", deadline=None, print_blob=True, max_examples=ORDINARY)
settings.register_profile("thorough", deadline=None, print_blob=True, max_examples=THOROUGH)
settings.load_profile("project")
_PR_SET_CHILD_SUBREAPER = 36
_LEFT_OVER: list[str] = []


# -- brokers ---------------------------------------------------------------------------------------------


def _running(choice: brokers.Choice, directory: Path) -> Iterator[LocalBroker]:
    if choice.make is None:
        pytest.skip(choice.text)
    broker = choice.make(directory)
    try:
        broker.start()
    except BrokerError as error:
        pytest.skip(f"{broker.name} did not start: {str(error)[:200]}")
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    """A real Apache Kafka; skips with the reason where there is none."""
    yield from _running(brokers.real_kafka(), tmp_path_factory.mktemp("kafka"))


@pytest.fixture(scope="session")
def embedded_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    """The embedded broker; skips with the reason where its package is missing."""
    yield from _running(brokers.embedded_choice(), tmp_path_factory.mktemp("embedded"))


@pytest.fixture(scope="session")
def best_broker(request: pytest.FixtureRequest) -> LocalBroker:
    """The real Kafka if there is one, else the embedded broker."""
    name = "kafka_broker" if brokers.real_kafka().make is not None else "embedded_broker"
    broker: LocalBroker = request.getfixturevalue(name)
    return broker


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[LocalBroker]:
    """An Apache Kafka of this test alone, to be stopped and killed."""
    if (lack := kafka.missing()) is not None:
        pytest.skip(f"needs a Kafka of its own: {lack}")
    yield from _running(brokers.Choice(kafka.KafkaBroker, kafka.KafkaBroker.name), tmp_path / "kafka")


@pytest.fixture
def own_embedded(tmp_path: Path) -> Iterator[LocalBroker]:
    """An embedded broker of this test alone, to be stopped and killed."""
    yield from _running(brokers.embedded_choice(), tmp_path / "embedded")


@pytest.fixture
def topic_prefix() -> str:
    """A prefix that no other test uses."""
    return f"test-{uuid.uuid4().hex[:12]}."


# -- the log on each of them -----------------------------------------------------------------------------


@pytest.fixture(params=["memory", "embedded", "kafka", "librdkafka"])
def log_backend(request: pytest.FixtureRequest) -> Iterator[LogBackend]:
    """The seam `services.runtime.log` in process, on the embedded broker, and on Kafka with both clients."""
    backend: LogBackend
    if request.param == "memory":
        backend = MemoryBackend()
    else:
        kind = KAFKA_BACKENDS[request.param]
        broker: LocalBroker = request.getfixturevalue(f"{kind.broker}_broker")
        backend = kind(brokers.cluster_of(broker))
    yield backend
    backend.close()


@pytest.fixture
def stop() -> threading.Event:
    """A stop event that is not set."""
    return threading.Event()


# -- the report ------------------------------------------------------------------------------------------


def pytest_report_header() -> str:
    return brokers.header()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    # The imported modules' million objects live until the end: no collection shall look at them.
    gc.freeze()
    gc.enable()


def pytest_configure() -> None:
    gc.disable()  # while all is imported, until `pytest_collection_finish`
    # Orphans of child processes then become our children, so that none outlives the run unnoticed.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    _LEFT_OVER[:] = [name for pid, name in _children() if _end(pid)]
    if _LEFT_OVER and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _children() -> list[tuple[int, str]]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue  # it has just ended
        name, _, rest = text.partition("(")[2].rpartition(")")
        state, parent = rest.split()[:2]
        # multiprocessing's own helper ends by itself, with us.
        helper = b"multiprocessing.resource_tracker" in _command_line(stat.parent)
        if int(parent) == os.getpid() and state != "Z" and not helper:
            found.append((int(stat.parent.name), name))
    return found


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def _end(pid: int) -> bool:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return True
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                return True
            time.sleep(0.02)
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    stats = terminalreporter.stats
    counts = ", ".join(
        f"{len(stats.get(name, []))} {name}" for name in ("passed", "failed", "error", "skipped", "xfailed")
    )
    reasons = Counter(_reason(report) for report in stats.get("skipped", []))
    skips = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common()) or "none"
    terminalreporter.write_line(f"counts: {counts}; skipped because: {skips}")
    terminalreporter.write_line(brokers.header())
    if _LEFT_OVER:
        terminalreporter.write_line(f"ended processes that tests left running: {', '.join(_LEFT_OVER)}", red=True)


def _reason(report: pytest.TestReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")
