"""The last records of each entity, so that a labelled attack can be a window: it comes too suddenly to be kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamgauge.stream.pending import Batch
from streamgauge.stream.policy import LearningPolicy
from streamgauge.stream.reservoir import Rows, empty_rows

_Tail = deque[tuple[float, NDArray[np.float32]]]


class Tails:
    """Of one partition: each entity's newest `policy.window` records, whatever they were scored.

    What comes out depends on the order of the log only. Records more than `policy.bucket_s` apart, or that go back
    in time, are not consecutive. Of more than `policy.max_entities` entities the one silent longest is forgotten.
    Size: window * columns * 4 bytes an entity. Cost: about 2 us a record; used where records carry labels only.
    """

    def __init__(self, policy: LearningPolicy) -> None:
        self._policy = policy
        self._tails: dict[str, _Tail] = {}

    def attacks(self, batch: Batch, partition: str) -> Rows:
        """Take in the next records; a window for each record labelled abnormal with enough records before it."""
        found: list[tuple[int, NDArray[np.float32]]] = []
        columns = zip(batch.times.tolist(), batch.entities, batch.x, batch.labels.tolist(), strict=True)
        for i, (time, entity, x, label) in enumerate(columns):
            if not self._tails and np.isnan(label):
                continue  # from the first label on, wherever batches end
            tail = self._of(entity)
            if tail and not 0 <= time - tail[-1][0] <= self._policy.bucket_s:
                tail.clear()
            tail.append((time, x.copy()))
            if label == 1 and len(tail) == self._policy.window:
                found.append((i, np.concatenate([row for _, row in tail])))
        rows = empty_rows(len(found), self._policy.window * batch.x.shape[1])
        for k, (i, window) in enumerate(found):
            rows["x"][k], rows["time"][k], rows["offset"][k] = window, batch.times[i], batch.offsets[i]
            rows["entity"][k] = batch.entities[i]
        rows["y"][:] = 1.0
        rows["partition"][:] = partition
        return rows

    def _of(self, entity: str) -> _Tail:
        tail = self._tails.pop(entity, None)
        if tail is None:
            tail = deque(maxlen=self._policy.window)
            if len(self._tails) >= self._policy.max_entities:
                del self._tails[next(iter(self._tails))]
        self._tails[entity] = tail  # the newest last
        return tail

    def to_state(self, prefix: str, width: int) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """JSON-able values, and arrays whose names begin with `prefix`."""
        rows = [row for tail in self._tails.values() for row in tail]
        arrays: dict[str, NDArray[Any]] = {
            f"{prefix}times": np.array([time for time, _ in rows], np.float64),
            f"{prefix}x": np.array([x for _, x in rows], np.float32).reshape(-1, width),
        }
        return {"tails": [[entity, len(tail)] for entity, tail in self._tails.items()]}, arrays

    def load_state(self, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], prefix: str) -> None:
        """The inverse of `to_state`."""
        at = 0
        for entity, count in values["tails"]:
            part = slice(at, at := at + count)
            rows = zip(arrays[f"{prefix}times"][part].tolist(), arrays[f"{prefix}x"][part], strict=True)
            self._tails[entity] = deque(rows, maxlen=self._policy.window)
