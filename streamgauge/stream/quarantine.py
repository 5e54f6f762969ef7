"""Presumed-normal records wait here: an alert nearby within the delay, and they are never learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamgauge.stream.buckets import Bucket, BucketArrays, held_rows, splitmix64
from streamgauge.stream.entity_ids import EntityIds
from streamgauge.stream.grouping import OTHER_ENTITIES
from streamgauge.stream.policy import LearningPolicy
from streamgauge.stream.reservoir import Coded, rows_from_state, rows_to_state

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Observed:
    """Records of one partition in log order; n of each.

    Attributes:
        times: (n,) event time, seconds since 1970.
        entities: n names.
        offsets: (n,) positions in the log.
        x: (n, d) encoded, NaN = masked.
        suspicious: (n,) abnormal; not learned, nor what is near.
        trusted: (n,) labelled normal; learned whatever happens nearby.
        marks: (n,) the watermark at each record.
    """

    times: Floats
    entities: Sequence[str]
    offsets: Ints
    x: NDArray[np.float32]
    suspicious: Bools
    trusted: Bools
    marks: Floats


class Quarantine:
    """Buckets of one source partition: (entity, minute, whether labelled normal).

    Results depend on the order of the log only: a bucket whose delay is over is final at that very record,
    whenever it is released.
    """

    def __init__(self, policy: LearningPolicy, centre: Floats, mixer: int) -> None:
        self.policy = policy
        self.watermark = -np.inf
        self.too_late = 0
        """Normal records that came after their bucket's delay was over; not learned."""
        self._mixer = mixer
        self._ids = EntityIds(policy)
        self._minutes: dict[int, dict[tuple[int, bool], Bucket]] = {}
        self.arrays = BucketArrays(centre, policy.rows_per_bucket)

    def observe(self, seen: Observed) -> None:
        """Poison what is near suspicious rows, put the others into their buckets."""
        minutes = np.floor(seen.times / self.policy.bucket_s).astype(np.int64)
        reach = minutes + np.where(seen.suspicious, self.policy.guard_buckets, 0)
        ids, until = self._ids.assign(seen.entities, reach, seen.marks)
        if seen.suspicious.any():
            self._poison_all(ids, until, minutes, seen)
        final = (minutes + 1) * self.policy.bucket_s + self.policy.delay_s <= seen.marks
        self.too_late += int((final & ~seen.suspicious).sum())
        normal = np.flatnonzero(~seen.suspicious & ~final)
        if len(normal):
            self._add(normal, ids, until, minutes, seen)
        self.watermark = float(seen.marks[-1])

    def _poison_all(self, ids: Ints, until: Ints, minutes: Ints, seen: Observed) -> None:
        guard, rows = self.policy.guard_buckets, np.flatnonzero(seen.suspicious)
        places: dict[tuple[int, int, int, str], float] = {}
        columns = (rows.tolist(), ids[rows].tolist(), until[rows].tolist(), minutes[rows].tolist())
        for row, entity, shared, minute in zip(*columns, strict=True):
            place = (entity, shared, minute, _name(entity, seen.entities[row]))
            places.setdefault(place, float(seen.marks[row]))  # the first: least is final by then
        for (entity, shared, minute, name), mark in places.items():
            for near in range(minute - guard, minute + guard + 1):
                if (near + 1) * self.policy.bucket_s + self.policy.delay_s > mark:
                    bucket = self._bucket(near, entity, False, name, near <= shared)
                    bucket.alarmed |= near == minute
                    self._poison(bucket)
                    if near == minute and entity and self.policy.window > 1:  # no window spans an abnormal record
                        self._poison(self._bucket(near, entity, True, name))

    def _poison(self, bucket: Bucket) -> None:
        """Poison a bucket; where its entity's records may be in several, poison all that may hold some."""
        together = [bucket]
        if bucket.shared or not bucket.entity_id:
            others = self._bucket(bucket.minute, 0, False, OTHER_ENTITIES)
            together = [others, *(b for b in self._minutes[bucket.minute].values() if b.shared)]
        for each in together:
            if each.slot >= 0:
                self.arrays.free(each.slot)
            each.slot, each.poisoned = -1, True
            each.held.clear()

    def _bucket(self, minute: int, entity: int, trusted: bool, name: str, shared: bool = False) -> Bucket:
        group = self._minutes.setdefault(minute, {})
        bucket = group.get((entity, trusted))
        if bucket is None:
            bucket = group[(entity, trusted)] = Bucket(name, minute, entity, trusted)
            bucket.shared = shared and not trusted
            others = group.get((0, False))
            bucket.poisoned = bucket.shared and others is not None and others.poisoned
        return bucket

    def _add(self, normal: Ints, ids: Ints, until: Ints, minutes: Ints, seen: Observed) -> None:
        trusted, entity, minute = seen.trusted[normal], ids[normal], minutes[normal]
        key = ((minute - minute.min()) * len(self._ids) + entity) * 2 + trusted
        order = np.argsort(key, kind="stable")
        ranked = key[order]
        heads = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
        rows = normal[order]  # (m,) row of the batch, grouped by bucket, in log order within
        buckets = [
            self._bucket(m, e, t, _name(e, seen.entities[row]), m <= shared)
            for m, e, t, row, shared in zip(
                *(column[order[heads]].tolist() for column in (minute, entity, trusted, normal, until[normal])),
                strict=True,
            )
        ]
        sizes = np.diff(np.append(heads, len(rows)))
        slots = self._fill(buckets, np.split(rows, heads[1:]), seen)
        self.arrays.add(slots, heads, sizes, seen.x, rows)
        single = self.policy.window == 1
        sampled = np.array([single and b.slot >= 0 and not self.held_out(b.minute) for b in buckets], bool)
        if sampled.any():
            hashes = self.hashes(seen.offsets[rows])
            chosen = np.repeat(sampled, sizes)
            group = np.repeat(slots, sizes)[chosen]
            rows, hashes = rows[chosen], hashes[chosen]
            self.arrays.sample(group, hashes, seen.x, seen.times, seen.offsets, rows)

    def held_out(self, minute: int) -> bool:
        """Whether a minute's rows are held out; decided by its index alone."""
        return minute % self.policy.holdout_every == 0

    def _keeps_rows(self, bucket: Bucket) -> bool:
        """Whether consecutive rows of a bucket are kept: to hold out, or to cut windows of one entity from."""
        if self.policy.window == 1:
            return self.held_out(bucket.minute)
        return bucket.entity_id != 0

    def _fill(self, buckets: list[Bucket], parts: Sequence[Ints], seen: Observed) -> Ints:
        """Counts, positions and held-out rows of each bucket; returns their slots, -1 if poisoned."""
        limit, keep = self.policy.holdout_rows_per_bucket, self.policy.keep_positions
        for bucket, rows in zip(buckets, parts, strict=True):
            if bucket.slot < 0 and not bucket.poisoned:
                bucket.slot = self.arrays.take()
            if self._keeps_rows(bucket) and not bucket.poisoned and bucket.count < limit:
                some = rows[: limit - bucket.count]
                bucket.held.append((seen.x[some], seen.times[some], seen.offsets[some]))
            bucket.count += len(rows)
            if keep:
                bucket.offsets.append(seen.offsets[rows])
        return np.array([b.slot for b in buckets], np.int64)

    @property
    def first_minute(self) -> float:
        """Index of the oldest bucket's minute, infinity if there is none."""
        return min(self._minutes, default=np.inf)

    def hashes(self, offsets: Ints) -> NDArray[np.uint64]:
        """Decides which rows are sampled: the smallest ones."""
        return splitmix64(offsets.astype(np.uint64) ^ np.uint64(self._mixer))

    def release(self, watermark: float) -> list[Bucket]:
        """Take out every bucket that is final at `watermark`; oldest first, then by entity."""
        due = [m for m in self._minutes if self.policy.final(m, watermark)]
        groups = [self._minutes.pop(m) for m in sorted(due)]
        return [group[key] for group in groups for key in sorted(group)]

    def give_back(self, buckets: list[Bucket]) -> None:
        """The slots of released buckets are no longer needed."""
        for bucket in buckets:
            if bucket.slot >= 0:
                self.arrays.free(bucket.slot)

    def to_state(self, prefix: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """JSON-able values and arrays, whose names begin with `prefix`."""
        buckets = [bucket for group in self._minutes.values() for bucket in group.values()]
        width = self.arrays.x.shape[2]
        names: dict[str, int] = {}
        codes = [names.setdefault(b.entity, len(names)) for b in buckets]
        held = [_held_count(bucket) for bucket in buckets]
        coded: dict[str, Coded] = {
            "entity": (list(names), np.repeat(np.array(codes, np.int32), held)),
            "partition": ([""], np.zeros(sum(held), np.int32)),
        }
        values, arrays = rows_to_state(held_rows(buckets, width), f"{prefix}held.", coded)
        positions = [part for bucket in buckets for part in bucket.offsets]
        arrays[f"{prefix}positions"] = np.concatenate([np.empty(0, np.int64), *positions])
        arrays[f"{prefix}table"] = np.array(
            [
                (
                    b.minute,
                    b.entity_id,
                    code,
                    b.trusted,
                    b.poisoned,
                    b.slot >= 0,
                    b.count,
                    sum(map(len, b.offsets)),
                    rows,
                    b.alarmed,
                    b.shared,
                )
                for b, code, rows in zip(buckets, codes, held, strict=True)
            ],
            np.int64,
        ).reshape(-1, 11)
        arrays.update(self.arrays.pick([b.slot for b in buckets if b.slot >= 0], prefix))
        watermark = None if self.watermark == -np.inf else self.watermark
        state = {"watermark": watermark, "too_late": self.too_late, "held": values}
        return state | {"entities": self._ids.to_state(), "names": list(names)}, arrays

    def load_state(self, state: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], prefix: str) -> None:
        """The inverse of `to_state`."""
        self.watermark = -np.inf if state["watermark"] is None else float(state["watermark"])
        self.too_late = int(state["too_late"])
        names = [str(name) for name in state["names"]]
        self._ids.load_state(state["entities"])
        self.arrays.load(arrays, prefix)
        held = rows_from_state(state["held"], arrays, f"{prefix}held.")
        positions, position, row, slot = arrays[f"{prefix}positions"], 0, 0, 0
        for minute, entity, name, trusted, poisoned, slotted, count, kept, rows, alarmed, shared in arrays[
            f"{prefix}table"
        ].tolist():
            bucket = self._bucket(minute, entity, bool(trusted), names[name])
            bucket.poisoned, bucket.alarmed, bucket.shared = bool(poisoned), bool(alarmed), bool(shared)
            bucket.count = count
            if slotted:
                bucket.slot, slot = slot, slot + 1
            if kept:
                bucket.offsets.append(np.array(positions[position : position + kept], np.int64))
            if rows:
                part = slice(row, row + rows)
                bucket.held.append((held["x"][part], held["time"][part], held["offset"][part]))
            position, row = position + kept, row + rows


def _name(number: int, entity: str) -> str:
    """Whose bucket a record of `entity` goes to."""
    return entity if number else OTHER_ENTITIES


def _held_count(bucket: Bucket) -> int:
    return sum(len(times) for _, times, _ in bucket.held)
