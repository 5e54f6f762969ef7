"""Child processes that never outlive their parent."""

from __future__ import annotations

import atexit
import ctypes
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from services.runtime.errors import BrokerError
from services.runtime.kafka import open_admin
from services.runtime.settings import ClusterSettings

_PR_SET_PDEATHSIG = 1
# Loaded before any fork: the child of a process with threads must not import or allocate much.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_TAIL_CHARS = 1500


def _die_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Child:
    """A child process with its output in a log file.

    On Linux the kernel kills it when the *thread* that started it ends, however that happens; elsewhere it is
    stopped at a normal end of the interpreter only.
    """

    def __init__(self, command: Sequence[str], log_file: Path, cwd: Path) -> None:
        self.log_file = log_file
        with log_file.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent,
                start_new_session=True,  # Ctrl-C in a terminal is for the parent, which stops its children
            )
        atexit.register(self.kill)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def stop(self, timeout_s: float) -> None:
        """SIGTERM, and SIGKILL if it has not ended after `timeout_s`."""
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()
        atexit.unregister(self.kill)

    def kill(self) -> None:
        """SIGKILL."""
        if self.running:
            self._process.kill()
        self._process.wait()
        atexit.unregister(self.kill)

    def output(self) -> str:
        """The last lines of its output."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")[-_TAIL_CHARS:].strip()


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(child: Child, bootstrap_servers: str, name: str, timeout_s: float) -> None:
    """Wait until a broker answers Kafka's protocol.

    Raises:
        BrokerError: it ended, or did not answer in time; with the last lines of its output.
    """
    wait_for(
        lambda: _answers(bootstrap_servers),
        alive=lambda: child.running,
        timeout_s=timeout_s,
        failed=lambda: f"{name} did not start: {child.output() or 'no output'}",
    )


def wait_for(
    done: Callable[[], bool], *, alive: Callable[[], bool], timeout_s: float, failed: Callable[[], str]
) -> None:
    """Poll `done` until it is true; BrokerError with `failed()` once `alive` is false or time is over."""
    deadline = time.monotonic() + timeout_s
    while not done():
        if not alive() or time.monotonic() > deadline:
            raise BrokerError(failed())
        time.sleep(0.05)


def _answers(bootstrap_servers: str) -> bool:
    host, _, port = bootstrap_servers.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
        cluster = ClusterSettings(bootstrap_servers=bootstrap_servers, request_timeout_s=2)
        with open_admin(cluster, client_id="streamgauge-ready") as admin:
            admin.names()
            return True
    except (OSError, BrokerError):
        return False
