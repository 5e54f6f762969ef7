"""The scored ledger: what became of every record, in a file that outlives kill -9 of its writer."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.edge_node.node import Ledger
from services.runtime.log import Partition
from streamgauge.stream.learning import Settled


class FileLedger(Ledger):
    """Appends one JSON object a line, with one write each: a killed writer leaves at most its last line cut."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(self._descriptor, b"\n")  # ends the line that the one before may have left cut

    def scored(self, partition: Partition, offsets: NDArray[np.int64], scores: NDArray[np.float64]) -> None:
        self._write({"partition": str(partition), "offsets": offsets.tolist(), "scores": scores.tolist()})

    def settled(self, settled: Sequence[Settled]) -> None:
        for each in settled:
            offsets = each.offsets.tolist()
            self._write({"partition": each.partition, "offsets": offsets, "learned": each.learned})

    def _write(self, entry: dict[str, Any]) -> None:
        os.write(self._descriptor, f"{json.dumps(entry)}\n".encode())


@dataclass
class Fates:
    """What the ledger says last of each record of a partition."""

    scores: dict[int, float] = field(default_factory=dict)
    learned: set[int] = field(default_factory=set)


def read_ledger(path: Path) -> dict[str, Fates]:
    """By partition. A record that is scored again has been rolled back: what was learned of it is undone."""
    fates: dict[str, Fates] = {}
    for entry in _entries(path):
        fate, offsets = fates.setdefault(entry["partition"], Fates()), entry["offsets"]
        if "scores" in entry:
            fate.scores.update(zip(offsets, entry["scores"], strict=True))
            fate.learned.difference_update(offsets)
        elif entry["learned"]:
            fate.learned.update(offsets)
        else:
            fate.learned.difference_update(offsets)
    return fates


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_bytes().splitlines():
        try:
            yield json.loads(line)
        except ValueError:  # empty, or cut by a kill: its records are read again and written again
            continue
