"""The demo's processes: start, watch, end."""

from __future__ import annotations

import json
import os
import signal
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from services.demo.plan import SOURCE, Plan, Process
from services.runtime.processes import Child

PROJECT = Path(__file__).resolve().parents[2]
STOP_TIMEOUT_S = 10.0


class Stack:
    """Runs the processes of a plan; each writes its output to ``<name>.log`` in `directory`."""

    def __init__(self, plan: Plan, directory: Path) -> None:
        self.plan = plan
        self._directory = directory
        self._children: dict[str, Child] = {}

    def start(self, process: Process) -> None:
        """Start one process; it ends with this one."""
        environment = {**_clean_environment(), **process.environment}
        self._children[process.name] = Child(
            process.command, self._directory / f"{process.name}.log", PROJECT, environment
        )

    def ended(self) -> list[str]:
        """Names of processes that ended by themselves."""
        return [name for name, child in self._children.items() if not child.running]

    def log_tail(self, name: str, lines: int = 5) -> str:
        """The last lines of a process's output."""
        text = (self._directory / f"{name}.log").read_text(errors="replace")
        return "\n".join(text.rstrip().splitlines()[-lines:])

    def progress(self) -> dict[str, Any] | None:
        """The newest line of progress of what sends the records."""
        path = self._directory / f"{SOURCE}.log"
        if not path.exists():
            return None
        for line in reversed(path.read_text(errors="replace").splitlines()):
            if line.startswith("{") and line.endswith("}"):
                progress: dict[str, Any] = json.loads(line)
                return progress
        return None

    def begin_attacks(self) -> None:
        """Tell what sends the records to end its normal phase."""
        os.kill(self._children[SOURCE].pid, signal.SIGUSR1)

    def get(self, path: str) -> Any:
        """A question to the API; None while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.plan.api_port}{path}", timeout=5) as answer:
                return json.load(answer)
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return None

    def stop(self) -> None:
        """End all processes, the sources first."""
        for child in self._children.values():
            child.terminate()
        for child in self._children.values():
            child.stop(STOP_TIMEOUT_S)


def _clean_environment() -> dict[str, str]:
    """The demo's settings are its own: those of the user's shell do not leak in."""
    return {name: value for name, value in os.environ.items() if not name.startswith("STREAMGAUGE_")}
