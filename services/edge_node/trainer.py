"""The trainer process: yields to the scorer, one torch thread, ends with its parent.

Each line it reads is the path of a job file; the answer is one line: the path of the result file, or
``error <reason>``. End of input ends the process. The node forks it before anything else starts, so that torch is
loaded once for both (3 s and 500 MB saved); if that one dies, the next is a fresh interpreter.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

from services.edge_node.jobs import run
from services.runtime.atomic import write_atomic
from services.runtime.processes import die_with_parent
from services.runtime.tensorfile import dump_tensors, load_tensors
from streamgauge.errors import StreamgaugeError

NICENESS = 19


@dataclass
class TrainerProcess:
    """A running trainer: where jobs go in and answers come out."""

    pid: int
    jobs: IO[str]
    answers: IO[str]
    _child: subprocess.Popen[str] | None = None

    def end(self) -> None:
        """Kill it, whatever it is doing, and free the pipes."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
        else:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        for stream in (self.jobs, self.answers):
            try:
                stream.close()
            except BrokenPipeError:  # a job that it never read was still in the buffer
                continue


def spawn_trainer() -> TrainerProcess:
    """Start a trainer in a fresh interpreter."""
    command = [sys.executable, "-m", "services.edge_node.trainer"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None
    assert child.stdout is not None
    return TrainerProcess(child.pid, child.stdin, child.stdout, child)


def fork_trainer() -> TrainerProcess:
    """Fork a trainer; only while this process has one thread and torch has computed nothing."""
    import torch  # noqa: F401 - loaded before the fork, so that both share it

    jobs_out, jobs_in = os.pipe()
    answers_out, answers_in = os.pipe()
    pid = os.fork()
    if pid == 0:
        _serve_and_exit((jobs_out, answers_in), (jobs_in, answers_out))
    os.close(jobs_out)
    os.close(answers_in)
    return TrainerProcess(pid, os.fdopen(jobs_in, "w"), os.fdopen(answers_out))


def _serve_and_exit(own: tuple[int, int], parents: tuple[int, int]) -> NoReturn:
    """The forked child's life: it must never return into the code of its parent."""
    code = 1
    try:
        for descriptor in parents:
            os.close(descriptor)
        with os.fdopen(own[0]) as jobs, os.fdopen(own[1], "w") as answers:
            serve(jobs, answers)
        code = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(code)


def yield_to_the_scorer() -> None:
    """Run only where nobody else wants to: on Linux a process that wakes up displaces this one at once.

    Niceness alone lets it finish its turn of some milliseconds, with the scorer waiting. Where a sandbox forbids
    the policy, niceness is all.
    """
    os.nice(NICENESS)
    if sys.platform == "linux":
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def serve(jobs: IO[str], answers: IO[str]) -> None:
    """Do jobs until the input ends."""
    die_with_parent()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    import torch
    import torch._dynamo  # torch.optim loads it at its first step: a second of work, many when niced

    torch.set_num_threads(1)
    yield_to_the_scorer()
    for line in jobs:
        job = Path(line.rstrip("\n"))
        try:
            result = job.with_suffix(".result")
            write_atomic(result, dump_tensors(*run(*load_tensors(job.read_bytes()))))
            answer = str(result)
        except StreamgaugeError as error:
            answer = f"error {error}".replace("\n", " ")
        print(answer, file=answers, flush=True)


if __name__ == "__main__":
    serve(sys.stdin, sys.stdout)
