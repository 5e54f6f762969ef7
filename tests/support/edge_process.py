"""The edge node as a process, with hooks that its environment sets: `python -m tests.support.edge_process`.

TEST_KILL_AT=step:n  kill -9 of itself when its loop reaches that step for the n-th time; the step `any` is each.
TEST_LEDGER=path     append every score and every decision to learn to that file.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from services.edge_node.build import Hooks
from services.edge_node.main import serve
from services.edge_node.node import Ledger
from services.runtime.lifecycle import run_service
from tests.support.ledger import FileLedger

KILL_AT, LEDGER = "TEST_KILL_AT", "TEST_LEDGER"
STEPS = (
    *("polled", "scored", "delivered", "advanced", "committed"),
    *("contexts published", "state taken", "writing", "written", "checkpointed"),
)
"""Of the loop and of the checkpoint's writer beside it, for every node."""
ROUND_STEPS = ("answered", "swapped", "judged")
"""Of the loop, for a node that takes part in rounds."""


def kill_at(text: str) -> Callable[[str], None]:
    """A hook that ends the process without another line of its code."""
    wanted, _, number = text.rpartition(":")
    times = itertools.count(1)  # of two threads

    def reach(step: str) -> None:
        if wanted in (step, "any") and next(times) == int(number):
            os.kill(os.getpid(), signal.SIGKILL)

    return reach


def hooks() -> Hooks:
    """As the environment says."""
    ledger, kill = os.environ.get(LEDGER), os.environ.get(KILL_AT)
    return Hooks(
        reach=kill_at(kill) if kill else lambda _: None,
        ledger=FileLedger(Path(ledger)) if ledger else Ledger(),
        keep_positions=ledger is not None,
    )


if __name__ == "__main__":
    sys.exit(run_service(lambda: serve(hooks())))
