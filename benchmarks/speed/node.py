"""The real edge node with a stopwatch in its test hooks: `python -m benchmarks.speed.node OUT`.

Nothing of the node is replaced: `services.edge_node.main.serve` runs with its own settings. At its end OUT holds

- ``partition``, ``offset``, ``acked``: each record, and the wall time when all that came of it was acknowledged;
- ``steps``: each handled poll: wall time, CPU seconds of the process so far, records handled so far;
- ``memory``: records handled so far and bytes resident, every 50,000 records;
- ``first``: wall time of the first record and of the first alert acknowledged (NaN if none).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.edge_node.build import Hooks
from services.edge_node.main import serve
from services.edge_node.node import Ledger
from services.runtime.lifecycle import run_service
from services.runtime.log import Partition

MEMORY_EVERY = 50_000
_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """Memory of this process in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


class Stopwatch(Ledger):
    """Notes when records are acknowledged; a microsecond a poll."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, NDArray[np.int64]]] = []
        self._done: list[tuple[int, NDArray[np.int64], float]] = []
        self._steps: list[tuple[float, float, int]] = []
        self._memory: list[tuple[int, int]] = []
        self._count = 0
        self._abnormal = False
        self._first_alert = np.nan

    def scored(self, partition: Partition, offsets: NDArray[np.int64], scores: NDArray[np.float64]) -> None:
        self._waiting.append((partition.partition, offsets))
        self._abnormal = self._abnormal or bool((scores >= 1).any())

    def reach(self, step: str) -> None:
        """Told of each step of the loop."""
        if step == "polled" and not self._steps:
            self._steps.append((time.time(), time.process_time(), 0))
        if step != "delivered":
            return
        now = time.time()
        before = self._count
        for number, offsets in self._waiting:
            self._done.append((number, offsets, now))
            self._count += len(offsets)
        self._waiting = []
        self._steps.append((now, time.process_time(), self._count))
        if self._abnormal and np.isnan(self._first_alert):
            self._first_alert = now
        if before // MEMORY_EVERY != self._count // MEMORY_EVERY:
            self._memory.append((self._count, resident_bytes()))

    def save(self, path: Path) -> None:
        """Write what was noted."""
        sizes = [len(offsets) for _, offsets, _ in self._done]
        with path.open("wb") as file:
            np.savez(
                file,
                partition=np.repeat([number for number, _, _ in self._done], sizes).astype(np.int64),
                offset=np.concatenate([np.empty(0, np.int64), *(offsets for _, offsets, _ in self._done)]),
                acked=np.repeat([acked for _, _, acked in self._done], sizes),
                steps=np.array(self._steps).reshape(-1, 3),
                memory=np.array([*self._memory, (self._count, resident_bytes())], np.float64),
                first=np.array([self._done[0][2] if self._done else np.nan, self._first_alert]),
            )


def main(arguments: Sequence[str]) -> int:
    """Run the node until it is told to stop."""
    watch = Stopwatch()
    code = run_service(lambda: serve(Hooks(watch.reach, watch)))
    watch.save(Path(arguments[0]))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
