"""Observed records gathered into larger batches: what a batch costs hardly depends on its size.

A poll of 300 records from four partitions is four batches of 75, which cost the quarantine 9 us a record; a batch
of 512 costs 2 us. What is learned does not depend on batch boundaries, so records may wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streamgauge.names import Names

ENOUGH = 512
"""Records that are worth a batch."""


@dataclass(frozen=True)
class Batch:
    """Scored records of one partition in log order; n of each. See `Learner.observe`."""

    times: NDArray[np.float64]
    entities: Sequence[str]
    offsets: NDArray[np.int64]
    x: NDArray[np.float32]
    abnormal: NDArray[np.bool_]
    labels: NDArray[np.floating]
    watermark: float


@dataclass
class Pending:
    """Records of one partition that wait until there are enough of them."""

    _parts: list[Batch] = field(default_factory=list)
    _rows: int = 0
    earliest: float = np.inf
    """Smallest event time among them."""

    def add(self, batch: Batch) -> None:
        """Append records, at least one."""
        self._parts.append(batch)
        self._rows += len(batch.times)
        self.earliest = min(self.earliest, float(batch.times.min()))

    @property
    def enough(self) -> bool:
        """Whether they are worth a batch."""
        return self._rows >= ENOUGH

    def take(self) -> Batch | None:
        """All that waits, as one batch, which is then no longer here; None if nothing does."""
        parts = self._parts
        self._parts, self._rows, self.earliest = [], 0, np.inf
        if len(parts) < 2:
            return parts[0] if parts else None
        names = ("times", "offsets", "x", "abnormal", "labels")
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        entities = Names.joined([Names.of(part.entities) for part in parts])
        return Batch(**columns, entities=entities, watermark=parts[-1].watermark)
