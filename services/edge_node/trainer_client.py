"""The edge node's side of the trainer process: submit a job, ask for its result, never wait."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

from services.edge_node.jobs import Arrays, Values
from services.runtime.atomic import write_atomic
from services.runtime.tensorfile import dump_tensors, load_tensors
from streamgauge.errors import StreamgaugeError


class TrainerFailedError(StreamgaugeError):
    """A job failed, or the trainer died in it; the message says how."""


class TrainerClient:
    """Runs one job at a time in a process of its own; starts it at the first job and again if it died.

    Args:
        directory: where job and result files lie; emptied at the start.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        for stale in directory.iterdir():
            stale.unlink()
        self._directory = directory
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str | None] = queue.Queue()
        self._number = 0
        self.busy = False

    def submit(self, values: Values, arrays: Arrays) -> None:
        """Hand over a job; `busy` until its result was taken. Cost: writing the file.

        Raises:
            RuntimeError: a job is running.
        """
        if self.busy:
            raise RuntimeError("one job at a time; take the result first")
        self._number += 1
        job = self._directory / f"{self._number}.job"
        write_atomic(job, dump_tensors(values, arrays))
        stdin = self._started().stdin
        assert stdin is not None
        self.busy = True
        try:
            stdin.write(f"{job}\n")
            stdin.flush()
        except BrokenPipeError:
            self._answers.put(None)

    def result(self) -> tuple[Values, Arrays] | None:
        """The finished job's result, None while it runs.

        Raises:
            TrainerFailedError: the job failed or the trainer died; the next `submit` starts a new one.
        """
        try:
            answer = self._answers.get_nowait()
        except queue.Empty:
            return None
        self.busy = False
        if answer is None:
            self.close()
            raise TrainerFailedError("the trainer process died; the job is tried again")
        if answer.startswith("error "):
            raise TrainerFailedError(answer.removeprefix("error "))
        path = Path(answer)
        values, arrays = load_tensors(path.read_bytes())
        path.unlink()
        path.with_suffix(".job").unlink()
        return values, arrays

    @property
    def pid(self) -> int | None:
        """The trainer's process id, None before the first job."""
        return self._process.pid if self._process else None

    def close(self) -> None:
        """End the process, whatever it is doing."""
        if self._process:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream:
                    stream.close()
        self._process = None
        self._answers = queue.Queue()
        self.busy = False

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            command = [sys.executable, "-m", "services.edge_node.trainer"]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert self._process.stdout is not None
            arguments = (self._process.stdout, self._answers)
            threading.Thread(target=_read, args=arguments, name="trainer-answers", daemon=True).start()
        return self._process


def _read(stream: IO[str], answers: queue.Queue[str | None]) -> None:
    try:
        for line in stream:
            answers.put(line.rstrip("\n"))
    except ValueError:  # closed by `close` while waiting for a line
        return
    answers.put(None)
