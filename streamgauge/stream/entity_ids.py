"""Small numbers for the entities of a partition, as long as they have something in quarantine."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streamgauge.names import Names
from streamgauge.stream.grouping import OTHER_ENTITIES
from streamgauge.stream.policy import LearningPolicy

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
NEVER = -(2**62)
"""The minute of what never had a bucket."""


class EntityIds:
    """At most `policy.max_entities` entities have a number of their own; the others share number 0.

    A number is free again once its entity's last bucket is final. It is taken away only when another entity needs
    it, so who has which number depends on the order of the log alone.

    Cost: an entity that is new or has no number costs a few hundred nanoseconds a record; the search for free
    numbers happens at most once a minute of event time.
    """

    def __init__(self, policy: LearningPolicy) -> None:
        self._policy = policy
        self._ids: dict[str, int] = {OTHER_ENTITIES: 0}
        self._free: list[int] = []
        self._size = 1
        # Of each number: the last minute that has a bucket, and the last one in which its entity may have records
        # among the others'.
        self._last, self._shared_until = np.full(64, NEVER), np.full(64, NEVER)
        self._search_from = -np.inf

    def __len__(self) -> int:
        """All numbers ever given are below this."""
        return self._size

    def assign(self, entities: Sequence[str], minutes: Ints, marks: Floats) -> tuple[Ints, Ints]:
        """Numbers of the next records, in log order.

        Args:
            entities: n names.
            minutes: (n,) int64, the last minute in which the record opens a bucket if that minute is not final.
            marks: (n,) the watermark at each record.
        Returns:
            (n,) numbers, and (n,) the last minute in which records of that entity may stand among the others'.
        """
        late = (minutes + 1) * self._policy.bucket_s + self._policy.delay_s <= marks
        reach = np.where(late, NEVER, minutes)
        ids = Names.of(entities).numbers(self._ids.get, -1)
        if (ids >= 0).all():  # the common case: nobody comes, so nobody goes
            np.maximum.at(self._last, ids, reach)
            return ids, self._shared_until[ids]
        until = np.empty(len(ids), np.int64)
        for k, step in enumerate(zip(entities, reach.tolist(), marks.tolist(), strict=True)):
            ids[k] = self._one(*step)
            until[k] = self._shared_until[ids[k]]
        return ids, until

    def _one(self, entity: str, reach: int, mark: float) -> int:
        number = self._ids.get(entity)
        if number is None:
            number = self._new(entity, mark) if reach != NEVER else 0
            if number:
                self._search_from = min(self._search_from, self._final_at(reach))
        self._last[number] = max(int(self._last[number]), reach)
        return number

    def _new(self, entity: str, mark: float) -> int:
        full = len(self._ids) > self._policy.max_entities
        if full and not self._free:
            self._search(mark)
        if self._free:
            number = heapq.heappop(self._free)
        elif full:
            return 0
        else:
            number, self._size = self._size, self._size + 1
            self._grow()
        self._last[number], self._shared_until[number] = NEVER, self._last[0]
        self._ids[entity] = number
        return number

    def _search(self, mark: float) -> None:
        """Take the numbers of all entities whose last bucket is final at `mark`."""
        if mark < self._search_from:
            return
        ends = {entity: self._final_at(int(self._last[n])) for entity, n in self._ids.items() if n}
        for entity, end in ends.items():
            if end <= mark:
                heapq.heappush(self._free, self._ids.pop(entity))
        self._search_from = min((end for end in ends.values() if end > mark), default=np.inf)

    def _final_at(self, minute: int) -> float:
        return (minute + 1) * self._policy.bucket_s + self._policy.delay_s

    def _grow(self) -> None:
        while self._size > len(self._last):
            more = np.full(len(self._last), NEVER)
            self._last = np.concatenate([self._last, more])
            self._shared_until = np.concatenate([self._shared_until, more])

    def to_state(self) -> list[list[int | str]]:
        """[name, number, last minute, last shared minute] of each entity that has a number."""
        return [[name, n, int(self._last[n]), int(self._shared_until[n])] for name, n in self._ids.items()]

    def load_state(self, state: Sequence[Sequence[int | str]]) -> None:
        """The inverse of `to_state`."""
        self._ids = {str(name): int(n) for name, n, _, _ in state}
        self._size = 1 + max(self._ids.values())
        self._grow()
        for _, n, last, shared in state:
            self._last[int(n)], self._shared_until[int(n)] = int(last), int(shared)
        self._free = sorted(set(range(self._size)) - set(self._ids.values()))
