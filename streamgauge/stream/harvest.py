"""The rows that records give to learn from: sampled, held out, windows, labelled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streamgauge.stream.buckets import NO_ROW, Bucket, held_rows, splitmix64
from streamgauge.stream.pending import Batch
from streamgauge.stream.policy import LearningPolicy
from streamgauge.stream.quarantine import Quarantine
from streamgauge.stream.reservoir import Rows, empty_rows, join_rows, windowed

Hashes = NDArray[np.uint64]


def sampled_rows(quarantine: Quarantine, buckets: list[Bucket], partition: str) -> tuple[Rows, Hashes]:
    """The single rows sampled from settled buckets that have a slot, and a hash of each to place it by."""
    arrays, slots = quarantine.arrays, np.array([b.slot for b in buckets])
    hashes = arrays.hashes[slots]
    group, place = np.nonzero(hashes != NO_ROW)
    at = slots[group]
    rows = empty_rows(len(group), arrays.x.shape[2])
    rows["x"], rows["time"] = arrays.x[at, place], arrays.times[at, place]
    rows["offset"] = arrays.offsets[at, place]
    rows["y"][:] = np.where([b.trusted for b in buckets], 0.0, np.nan)[group]
    rows["entity"][:] = np.array([b.entity for b in buckets], np.object_)[group]
    rows["partition"][:] = partition
    # Hashed again: the sampled ones are the smallest of their bucket, so their own would not spread.
    return rows, splitmix64(hashes[group, place])


def held_out_rows(quarantine: Quarantine, buckets: Sequence[Bucket], partition: str) -> Rows:
    """The consecutive rows, or windows of them, of settled buckets that are held out."""
    policy = quarantine.policy
    if policy.window == 1:
        parts = [_consecutive(quarantine, buckets, partition)]
        sizes = [sum(len(times) for _, times, _ in bucket.held) for bucket in buckets]
    else:
        parts = [_consecutive(quarantine, [bucket], partition) for bucket in buckets]
        sizes = [len(part["time"]) for part in parts]
    rows = join_rows(parts, policy.window * quarantine.arrays.x.shape[2])
    rows["exposure_s"][:] = np.repeat([policy.bucket_s / bucket.count for bucket in buckets], sizes)
    rows["half"][:] = np.repeat([bucket.minute // policy.holdout_every % 2 == 1 for bucket in buckets], sizes)
    return rows


def kept_share(policy: LearningPolicy, bucket: Bucket) -> float:
    """The share of its time that a held-out bucket's rows stand for, or would, had it not been dropped.

    An alarm in it counts for so much: else alarms would be counted over more time than the rows cover.
    """
    if policy.window > 1 and not bucket.entity_id:
        return 0.0
    kept = min(bucket.count, policy.holdout_rows_per_bucket) - policy.window + 1
    return max(0.0, kept / bucket.count) if bucket.count else 1.0


def window_rows(quarantine: Quarantine, bucket: Bucket, partition: str) -> tuple[Rows, Hashes]:
    """Windows sampled from the consecutive rows of a settled bucket, and a hash of each to place it by."""
    rows = _consecutive(quarantine, [bucket], partition)
    hashes = quarantine.hashes(rows["offset"])
    chosen = np.argsort(hashes, kind="stable")[: quarantine.policy.rows_per_bucket]
    return {name: column[chosen] for name, column in rows.items()}, splitmix64(hashes[chosen])


def _consecutive(quarantine: Quarantine, buckets: Sequence[Bucket], partition: str) -> Rows:
    """Of several buckets as single rows only: no window leaves its bucket."""
    rows = windowed(held_rows(buckets, quarantine.arrays.x.shape[2]), quarantine.policy.window)
    rows["partition"][:] = partition
    return rows


def labelled_rows(batch: Batch, chosen: NDArray[np.int64], partition: str) -> Rows:
    """The chosen records of a batch as rows labelled abnormal."""
    rows = empty_rows(len(chosen), batch.x.shape[1])
    rows["x"], rows["time"], rows["offset"] = batch.x[chosen], batch.times[chosen], batch.offsets[chosen]
    rows["y"][:] = 1.0
    rows["entity"][:] = [batch.entities[i] for i in chosen]
    rows["partition"][:] = partition
    return rows
