"""Services as processes that tests kill and start again with the same state, and waiting for what they do."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from schemas import Alert
from services.runtime.brokers.process import free_port
from services.runtime.processes import Child

T = TypeVar("T")
PROJECT = Path(__file__).resolve().parents[2]
DEADLINE_S = 180.0
"""Generous: a busy machine must not fail a test."""
STOP_TIMEOUT_S = 60.0
EDGE, AGGREGATOR, API = "tests.support.edge_process", "services.aggregator.main", "services.api.main"


def until(condition: Callable[[], T], why: Callable[[], str] = lambda: "", deadline_s: float = DEADLINE_S) -> T:
    """The condition's first true value; fails with `why` at the deadline."""
    deadline = time.monotonic() + deadline_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"did not happen within {deadline_s:.0f} s. {why()}"
        time.sleep(0.05)
    return value


def variables(prefix: str, settings: Mapping[str, object]) -> dict[str, str]:
    """Settings as environment variables of the service with this prefix."""
    return {
        f"STREAMGAUGE_{prefix}_{name}": value if isinstance(value, str) else json.dumps(value)
        for name, value in settings.items()
    }


class Service:
    """One service; its output is appended to ``<name>.log`` in the directory over all its lives.

    Args:
        name: of the log file.
        module: run with ``python -m``; decides the prefix of its settings.
        settings: without prefix; a free port is added.
        directory: for the log.
        extra: further environment variables.
    """

    def __init__(
        self,
        name: str,
        module: str,
        settings: Mapping[str, object],
        directory: Path,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        prefix = {EDGE: "EDGE", AGGREGATOR: "AGGREGATOR", API: "API"}[module]
        self.name, self.port = name, free_port()
        self._command = [sys.executable, "-m", module]
        port = "PORT" if module == API else "METRICS_PORT"
        self._environment = variables(prefix, {**settings, port: self.port}) | dict(extra or {})
        self._log = directory / f"{name}.log"
        self._child: Child | None = None

    def start(self, **extra: str) -> None:
        """Start it; it must not run."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("STREAMGAUGE_")}
        environment = {**inherited, **self._environment, **extra}
        self._child = Child(self._command, self._log, PROJECT, environment)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._child is not None and self._child.running

    def kill(self) -> None:
        """kill -9."""
        if self._child is not None:
            self._child.kill()

    def restart_after_kill(self) -> None:
        """kill -9 of a process that runs, and its next life at once."""
        assert self.running, f"{self.name} ended by itself: {self.log_tail()}"
        self.kill()
        self.start()

    def assert_killed(self) -> None:
        """It must have ended by kill -9, not by a defect."""
        assert self._child is not None
        assert self._child.exit_code == -signal.SIGKILL, self.log_tail()

    def stop(self) -> None:
        """End it as an operator does; it must end well and in time."""
        assert self._child is not None
        assert self._child.running, f"{self.name} ended by itself: {self.log_tail()}"
        self._child.stop(STOP_TIMEOUT_S)
        assert self._child.exit_code == 0, f"{self.name} ended with {self._child.exit_code}: {self.log_tail()}"

    def log_tail(self) -> str:
        """The end of its output."""
        return self._log.read_text(errors="replace")[-3000:] if self._log.exists() else "no output"

    def get(self, path: str) -> str | None:
        """What its HTTP server answers; None while it does not, or says no."""
        return _answer(f"http://127.0.0.1:{self.port}{path}")

    def post(self, path: str, body: object) -> str | None:
        """As `get`, of a body that is sent as JSON."""
        url, content = f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode()
        return _answer(urllib.request.Request(url, content, {"Content-Type": "application/json"}))

    def until_ready(self) -> None:
        """Wait until it says that it is ready."""
        until(lambda: self.get("/readyz") is not None or not self.running, self.log_tail)
        assert self.running, f"{self.name} ended by itself: {self.log_tail()}"

    def metric(self, name: str) -> float:
        """Sum of a metric over its labels; 0 while there is none."""
        text = self.get("/metrics") or ""
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))


def _answer(request: str | urllib.request.Request) -> str | None:
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            text: str = answer.read().decode()
            return text
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return None


def alerts_in(api: Service) -> dict[str, Alert] | None:
    """All alerts that the API shows, by id; None while it does not answer."""
    found: dict[str, Alert] = {}
    cursor: str | None = ""
    while cursor is not None:
        text = api.get("/alerts?limit=500" + (f"&cursor={cursor}" if cursor else ""))
        if text is None:
            return None
        page: dict[str, Any] = json.loads(text)
        alerts = [Alert.read(json.dumps(item)) for item in page["items"]]
        found |= {str(alert.alert_id): alert for alert in alerts}
        cursor = page["next_cursor"]
    return found


def versions(alerts: Mapping[str, Alert] | None) -> dict[str, int]:
    """Id -> version: enough to see whether the API has caught up; of None nothing."""
    return {key: alert.version for key, alert in (alerts or {}).items()}
