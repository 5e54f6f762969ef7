"""Arrays behind the quarantine's buckets: moments and sampled rows, one slot a bucket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import StateError
from streamgauge.stream.reservoir import Rows, empty_rows

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]
NO_ROW = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
"""Hash of an empty place among the sampled rows."""
_TOGETHER = 1000
"""Rows whose moments are taken at once."""
FIELDS = ("n", "total", "squares", "hashes", "x", "times", "offsets")
"""The arrays of `BucketArrays`, first dimension slots."""


def splitmix64(values: Hashes) -> Hashes:
    """Finaliser of SplitMix64 (Steele, Lea and Flood 2014): neighbours get unrelated 64-bit hashes."""
    z = values + np.uint64(0x9E37_79B9_7F4A_7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58_476D_1CE4_E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D0_49BB_1331_11EB)
    return z ^ (z >> np.uint64(31))


class Bucket:
    """Records of one entity in one minute; ``slot`` is -1 before the first record and when poisoned.

    ``held`` are the held-out rows so far, in parts of (x, times, offsets); ``alarmed``: an abnormal record
    was in this very bucket, not only near it; ``shared``: records of its
    entity may stand among the others' too.
    """

    __slots__ = (
        "alarmed",
        "count",
        "entity",
        "entity_id",
        "held",
        "minute",
        "offsets",
        "poisoned",
        "shared",
        "slot",
        "trusted",
    )

    def __init__(self, entity: str, minute: int, entity_id: int, trusted: bool) -> None:
        self.entity = entity
        self.minute = minute
        self.entity_id = entity_id
        self.trusted = trusted
        self.slot = -1
        self.count = 0
        self.poisoned = False
        self.alarmed = False
        self.shared = False
        self.offsets: list[Ints] = []
        self.held: list[tuple[NDArray[np.float32], Floats, Ints]] = []


def held_rows(buckets: Sequence[Bucket], width: int) -> Rows:
    """The held-out rows of all buckets, one after the other; labelled normal where the bucket is trusted."""
    parts = [(bucket, part) for bucket in buckets for part in bucket.held]
    sizes = [len(times) for _, (_, times, _) in parts]
    rows = empty_rows(sum(sizes), width)
    if parts:
        for name, column in zip(
            ("x", "time", "offset"), zip(*(part for _, part in parts), strict=True), strict=True
        ):
            np.concatenate(column, out=rows[name])
        rows["entity"][:] = np.repeat(np.array([bucket.entity for bucket, _ in parts], np.object_), sizes)
        rows["y"][:] = np.repeat([0.0 if bucket.trusted else np.nan for bucket, _ in parts], sizes)
    return rows


class BucketArrays:
    """Moments about `centre` (d,) and the `k` rows of smallest hash, for every slot in use.

    ``n``, ``total`` and ``squares`` are (slots, d) float64; ``hashes`` (slots, k) ascending; ``x`` (slots, k, d).
    """

    def __init__(self, centre: Floats, k: int) -> None:
        self._centre = centre
        self._free: list[int] = []
        d = len(centre)
        self.n, self.total, self.squares = (np.zeros((0, d)) for _ in range(3))
        self.hashes: Hashes = np.zeros((0, k), np.uint64)
        self.x: NDArray[np.float32] = np.zeros((0, k, d), np.float32)
        self.times: Floats = np.zeros((0, k))
        self.offsets: Ints = np.zeros((0, k), np.int64)

    def take(self) -> int:
        """A cleared slot."""
        if not self._free:
            old = len(self.n)
            self._resize(max(64, 2 * old))
        slot = self._free.pop()
        self.n[slot] = self.total[slot] = self.squares[slot] = 0.0
        self.hashes[slot] = NO_ROW
        return slot

    def _resize(self, size: int) -> None:
        old = len(self.n)
        for name in FIELDS:
            array: NDArray[Any] = getattr(self, name)
            grown = np.zeros((size, *array.shape[1:]), array.dtype)
            grown[:old] = array
            setattr(self, name, grown)
        self._free.extend(range(size - 1, old - 1, -1))

    def free(self, slot: int) -> None:
        """Give a slot back."""
        self._free.append(slot)

    def add(self, slots: Ints, heads: Ints, sizes: Ints, x: NDArray[np.float32], rows: Ints) -> None:
        """Add rows grouped by slot to the moments; a slot of -1 is skipped, a NaN cell is not counted.

        Args:
            slots: (g,) distinct, except -1.
            heads: (g,) first of each group's places in `rows`.
            sizes: (g,) rows of each group.
            x: (n, d) the batch.
            rows: (m,) rows of the batch, grouped.
        """
        starts = [0]  # some groups at a time, so that their rows stay in the processor's cache
        while starts[-1] < len(heads):
            starts.append(max(starts[-1] + 1, int(np.searchsorted(heads, heads[starts[-1]] + _TOGETHER))))
        ends = np.append(heads, len(rows))
        for first, last in pairwise(starts):
            some = slice(first, last)
            self._add(slots[some], heads[some] - heads[first], sizes[some], x[rows[heads[first] : ends[last]]])

    def _add(self, slots: Ints, heads: Ints, sizes: Ints, x: NDArray[np.float32]) -> None:
        good = slots >= 0
        apart = x - self._centre  # (m, d) float64
        counts: Floats = np.broadcast_to(sizes[:, None].astype(np.float64), (len(slots), x.shape[1]))
        if np.isnan(apart.min()):
            masked = np.isnan(apart)
            apart[masked] = 0.0
            counts = np.add.reduceat(~masked, heads, axis=0, dtype=np.float64)
        self.n[slots[good]] += counts[good]
        self.total[slots[good]] += np.add.reduceat(apart, heads, axis=0)[good]
        apart *= apart
        self.squares[slots[good]] += np.add.reduceat(apart, heads, axis=0)[good]

    def sample(
        self,
        slots: Ints,
        hashes: Hashes,
        x: NDArray[np.float32],
        times: Floats,
        offsets: Ints,
        rows: Ints,
    ) -> None:
        """Keep the rows of smallest hash in each slot; of equal hashes the earlier in the log.

        Args:
            slots: (m,) slot of each candidate, equal ones together, in log order within.
            hashes: (m,) its hash.
            x: the batch, (n, d); `times` and `offsets` likewise.
            rows: (m,) the candidate's row in the batch.
        """
        k = self.hashes.shape[1]
        better = hashes < self.hashes[slots, k - 1]
        slots, hashes, rows = slots[better], hashes[better], rows[better]
        if not len(slots):
            return
        order = np.lexsort((hashes, slots))  # stable
        slots, hashes, rows = slots[order], hashes[order], rows[order]
        heads = np.flatnonzero(np.concatenate([[True], slots[1:] != slots[:-1]]))
        sizes = np.diff(np.append(heads, len(slots)))
        rank = np.arange(len(slots)) - np.repeat(heads, sizes)
        group = np.repeat(np.arange(len(heads)), sizes)
        keep = rank < k
        new_hash = np.full((len(heads), k), NO_ROW)
        new_row = np.zeros((len(heads), k), np.int64)
        new_hash[group[keep], rank[keep]] = hashes[keep]
        new_row[group[keep], rank[keep]] = rows[keep]
        self._merge(slots[heads], new_hash, x[new_row], times[new_row], offsets[new_row])

    def _merge(self, slots: Ints, hashes: Hashes, x: NDArray[np.float32], times: Floats, offsets: Ints) -> None:
        k = hashes.shape[1]
        both = np.concatenate([self.hashes[slots], hashes], axis=1)  # (g, 2k)
        best = np.argsort(both, axis=1, kind="stable")[:, :k]
        group = np.arange(len(slots))[:, None]
        self.hashes[slots] = both[group, best]
        self.x[slots] = np.concatenate([self.x[slots], x], axis=1)[group, best]
        self.times[slots] = np.concatenate([self.times[slots], times], axis=1)[group, best]
        self.offsets[slots] = np.concatenate([self.offsets[slots], offsets], axis=1)[group, best]

    def pick(self, slots: list[int], prefix: str) -> dict[str, NDArray[Any]]:
        """Copies of the arrays at `slots`, in that order; bit patterns of hashes as int64."""
        picked: dict[str, NDArray[Any]] = {prefix + name: getattr(self, name)[slots] for name in FIELDS}
        picked[f"{prefix}hashes"] = picked[f"{prefix}hashes"].view(np.int64)
        return picked

    def load(self, arrays: Mapping[str, NDArray[Any]], prefix: str) -> None:
        """The inverse of `pick`; slots count from 0.

        Raises:
            StateError: arrays of another shape: other columns or another number of sampled rows.
        """
        for name in FIELDS:
            array, mine = arrays[prefix + name], getattr(self, name)
            if array.shape[1:] != mine.shape[1:]:
                raise StateError(
                    f"saved {name} is {list(array.shape[1:])} a bucket, expected {list(mine.shape[1:])}: the "
                    "profile or rows_per_bucket changed; delete the checkpoint to start afresh"
                )
            setattr(self, name, np.array(array).view(np.uint64) if name == "hashes" else np.array(array))
        self._free = []
