"""The edge node's side of the trainer process: submit a job, ask for its result, never wait."""

from __future__ import annotations

import queue
import threading
from pathlib import Path
from typing import IO

from services.edge_node.jobs import Arrays, Values
from services.edge_node.trainer import TrainerProcess, spawn_trainer
from services.runtime.tensorfile import TensorFile, load_tensors
from streamgauge.errors import StreamgaugeError


class TrainerFailedError(StreamgaugeError):
    """A job failed, or the trainer died in it; the message says how."""


class TrainerClient:
    """Runs one job at a time in a process of its own; starts it at the first job and again if it died.

    Args:
        directory: where job and result files lie; emptied at the start.
        first: a trainer that runs already; None: the first job starts one.
    """

    def __init__(self, directory: Path, first: TrainerProcess | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        for stale in directory.iterdir():
            stale.unlink()
        self._directory = directory
        self._process: TrainerProcess | None = None
        self._answers: queue.Queue[str | None] = queue.Queue()
        if first is not None:
            self._listen(first)
        self._number = 0
        self._job: Path | None = None
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
        TensorFile.of(values, arrays).write(job)  # not synced: no job outlives this process
        self._job = job
        if self._process is None:
            self._listen(spawn_trainer())
        assert self._process is not None
        self.busy = True
        try:
            self._process.jobs.write(f"{job}\n")
            self._process.jobs.flush()
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
        self._forget_job()
        if answer is None:
            self.close()
            raise TrainerFailedError("the trainer process died; the job is tried again")
        if answer.startswith("error "):
            raise TrainerFailedError(answer.removeprefix("error "))
        path = Path(answer)
        values, arrays = load_tensors(path.read_bytes())
        path.unlink()
        return values, arrays

    def _forget_job(self) -> None:
        """Remove the job's file, however the job ended."""
        if self._job is not None:
            self._job.unlink(missing_ok=True)
        self._job = None

    @property
    def pid(self) -> int | None:
        """The trainer's process id, None before the first job."""
        return self._process.pid if self._process else None

    def close(self) -> None:
        """End the process, whatever it is doing."""
        if self._process is not None:
            self._process.end()
        self._process = None
        self._answers = queue.Queue()
        self._forget_job()
        self.busy = False

    def _listen(self, process: TrainerProcess) -> None:
        self._process = process
        arguments = (process.answers, self._answers)
        threading.Thread(target=_read, args=arguments, name="trainer-answers", daemon=True).start()


def _read(stream: IO[str], answers: queue.Queue[str | None]) -> None:
    try:
        for line in stream:
            answers.put(line.rstrip("\n"))
    except ValueError:  # closed by `close` while waiting for a line
        return
    answers.put(None)
