"""What a node learns from: presumed-normal records after a quarantine, labelled ones as labelled.

A record scored abnormal is never learned, nor are its entity's records of the same and the neighbouring minutes.
The rest counts in the moments, a few sampled rows of each minute go to the training reservoir, and every k-th
minute, chosen by its index before anything is scored, is held out for calibration and votes instead. A row may be
a window of an entity's consecutive records; no window leaves its minute.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import StateError
from streamgauge.stream.buckets import Bucket, splitmix64
from streamgauge.stream.harvest import held_out_rows, kept_share, labelled_rows, sampled_rows, window_rows
from streamgauge.stream.judged import Judged
from streamgauge.stream.learned import HoldOut, Moments, Settled
from streamgauge.stream.pending import Batch, Pending
from streamgauge.stream.policy import LearningPolicy
from streamgauge.stream.quarantine import Observed, Quarantine
from streamgauge.stream.reservoir import RowStore, join_rows
from streamgauge.stream.tails import Tails

__all__ = ["HoldOut", "Learner", "LearningPolicy", "Moments", "Settled"]
Floats = NDArray[np.float64]


class Learner:
    """Accumulates what may be learned; never part of a bundle.

    Args:
        policy: what to keep, how long to wait.
        centre: (d,) float64, public centre of the moments.
        seed: decides which rows are sampled.
    """

    def __init__(self, policy: LearningPolicy, centre: Floats, seed: int) -> None:
        self.policy = policy
        self.records_learned = 0
        self.records_dropped = 0
        """Presumed-normal records of settled buckets that were dropped."""
        self._centre = np.array(centre, np.float64)
        self._seed = seed
        d = len(self._centre)
        self._sums = np.zeros((3, d))
        self._partitions: dict[str, Quarantine] = {}
        self._pending: dict[str, Pending] = {}
        # As many records, not as many windows: a checkpoint must not grow with the window.
        self._reservoir = RowStore(max(1, policy.reservoir_rows // policy.window), policy.window * d)
        self._holdout = RowStore(max(1, policy.holdout_rows // policy.window), policy.window * d)
        self._alarms: Floats = np.empty((0, 2))  # event time, share of its minute that is held out
        self._labelled = RowStore(policy.labelled_rows // policy.window, policy.window * d)
        self._tails: dict[str, Tails] = {}
        self.judged = Judged(policy.labelled_rows if policy.window == 1 else 0, d)
        """Rows of alerts that people judged; single records, so none where a row is a window."""

    def observe(
        self,
        partition: str,
        times: Floats,
        entities: Sequence[str],
        offsets: NDArray[np.int64],
        x: NDArray[np.float32],
        abnormal: NDArray[np.bool_],
        labels: NDArray[np.floating],
        watermark: float,
    ) -> None:
        """Take in the next scored records of a partition, in log order.

        Args:
            times: (n,) event time in seconds, finite.
            entities: n names.
            offsets: (n,) int64 positions.
            x: (n, d) float32 encoded rows, NaN = masked. Not modified.
            abnormal: (n,) bool, scored abnormal.
            labels: (n,) 1 abnormal, 0 normal (learned whatever the score), NaN no label.
            watermark: the partition's watermark after these records.
        """
        if not len(times):
            return
        pending = self._pending.setdefault(partition, Pending())
        pending.add(Batch(times, entities, offsets, x, abnormal, labels, watermark))
        if pending.enough:
            self.flush(partition)

    def flush(self, partition: str) -> None:
        """Hand what is pending to the quarantine; changes nothing but when errors show."""
        pending = self._pending.get(partition)
        if pending is None or (batch := pending.take()) is None:
            return
        quarantine = self._quarantine(partition)
        marks = np.maximum(np.maximum.accumulate(batch.times), quarantine.watermark)
        attack, trusted = batch.labels == 1, batch.labels == 0
        suspicious = (batch.abnormal & ~trusted) | attack
        quarantine.observe(
            Observed(batch.times, batch.entities, batch.offsets, batch.x, suspicious, trusted, marks)
        )
        quarantine.watermark = max(quarantine.watermark, batch.watermark)
        if self.policy.window == 1 and attack.any():
            self._labelled.append(labelled_rows(batch, np.flatnonzero(attack), partition))
        elif self.policy.window > 1 and (partition in self._tails or not np.isnan(batch.labels).all()):
            tails = self._tails.setdefault(partition, Tails(self.policy))
            self._labelled.append(tails.attacks(batch, partition))

    def _flush_all(self) -> None:
        for partition in self._pending:
            self.flush(partition)

    def _quarantine(self, partition: str) -> Quarantine:
        quarantine = self._partitions.get(partition)
        if quarantine is None:
            quarantine = Quarantine(self.policy, self._centre, self._mixer(partition))
            self._partitions[partition] = quarantine
        return quarantine

    def _mixer(self, partition: str) -> int:
        start = np.array([self._seed ^ zlib.crc32(partition.encode())], np.int64).astype(np.uint64)
        return int(splitmix64(start)[0])

    def settle(self, watermarks: Mapping[str, float]) -> list[Settled]:
        """Merge or drop every bucket whose delay is over.

        Args:
            watermarks: event time each partition has reached; one that is not named stays as it is.
        """
        settled = []
        for partition in sorted(watermarks.keys() & (self._partitions.keys() | self._pending.keys())):
            quarantine, pending = self._quarantine(partition), self._pending.get(partition)
            waiting = pending.earliest // self.policy.bucket_s if pending else np.inf
            if not self.policy.final(min(quarantine.first_minute, waiting), watermarks[partition]):
                continue
            self.flush(partition)
            # Never beyond what was observed: a record still to come could otherwise find its bucket gone.
            buckets = quarantine.release(min(watermarks[partition], quarantine.watermark))
            if buckets:
                self._merge(partition, quarantine, [b for b in buckets if b.slot >= 0])
                alarmed = [b for b in buckets if b.alarmed and quarantine.held_out(b.minute)]
                self._remember_alarms(
                    [(b.minute * self.policy.bucket_s, kept_share(self.policy, b)) for b in alarmed]
                )
                settled += [self._settled(partition, b) for b in buckets if b.count]
                quarantine.give_back(buckets)
        return settled

    def _remember_alarms(self, alarms: list[tuple[float, float]]) -> None:
        """Keep alarms in held-out minutes as long as rows of that age are held out."""
        known = np.concatenate([self._alarms, np.array(alarms).reshape(-1, 2)])
        oldest = self._holdout.oldest_time - self.policy.bucket_s
        self._alarms = known[known[:, 0] >= oldest][-self.policy.holdout_rows :]

    def _settled(self, partition: str, bucket: Bucket) -> Settled:
        learned = not bucket.poisoned
        if learned:
            self.records_learned += bucket.count
        else:
            self.records_dropped += bucket.count
        offsets = np.concatenate(bucket.offsets) if bucket.offsets else np.empty(0, np.int64)
        return Settled(partition, bucket.entity, offsets, learned, bucket.count)

    def _merge(self, partition: str, quarantine: Quarantine, buckets: list[Bucket]) -> None:
        if not buckets:
            return
        arrays, slots = quarantine.arrays, np.array([b.slot for b in buckets])
        self._sums += [arrays.n[slots].sum(0), arrays.total[slots].sum(0), arrays.squares[slots].sum(0)]
        self._reservoir.replace(*sampled_rows(quarantine, buckets, partition))
        kept = [bucket for bucket in buckets if bucket.held]
        if held_out := [bucket for bucket in kept if quarantine.held_out(bucket.minute)]:
            self._holdout.append(held_out_rows(quarantine, held_out, partition))
        for bucket in kept:
            if not quarantine.held_out(bucket.minute):
                self._reservoir.replace(*window_rows(quarantine, bucket, partition))

    def forget(self, partition: str) -> None:
        """Drop what is in quarantine for a partition that goes on elsewhere than here; what was learned stays."""
        self._partitions.pop(partition, None)
        self._pending.pop(partition, None)
        self._tails.pop(partition, None)

    @property
    def moments(self) -> Moments:
        """Moments of all records learned so far, those that people call normal among them; a copy."""
        return Moments(*(self._sums + self.judged.moments(self._centre)))

    @property
    def records_too_late(self) -> int:
        """Presumed-normal records that came after their bucket was final; not learned."""
        return sum(quarantine.too_late for quarantine in self._partitions.values())

    def training_rows(self, judged: bool = True) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(n, window * d) rows and (n,) labels: 1 or 0 as labelled, NaN presumed normal; copies.

        The label of a window is that of its last record.

        Args:
            judged: with the rows of judged alerts, several times each; these are no fair sample of anything.
        """
        self._flush_all()
        parts = [self._reservoir.rows(), self._labelled.rows()]
        if judged and self.policy.window == 1:
            parts.append(self.judged.training_rows(sum(len(part["time"]) for part in parts)))
        rows = join_rows(parts, self._reservoir.width)
        return rows["x"], rows["y"]

    def holdout(self) -> HoldOut:
        """The held-out rows; copies."""
        rows = self._holdout.rows()
        return HoldOut(
            rows["x"],
            rows["time"],
            list(rows["entity"]),
            rows["exposure_s"],
            rows["half"],
            float(self._alarms[:, 1].sum()),
        )

    @property
    def holdout_count(self) -> int:
        """Number of held-out rows."""
        return len(self._holdout)

    def _stores(self) -> dict[str, RowStore]:
        return {"reservoir": self._reservoir, "holdout": self._holdout, "labelled": self._labelled}

    def to_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """All state: JSON-able values, and arrays by name."""
        self._flush_all()
        values: dict[str, Any] = {"records_learned": self.records_learned, "records_dropped": self.records_dropped}
        arrays: dict[str, NDArray[Any]] = {"sums": self._sums.copy(), "alarms": self._alarms}
        for name, store in self._stores().items():
            values[name], more = store.to_state(f"{name}.")
            arrays.update(more)
        values["judged"], more = self.judged.to_state("judged.")
        arrays.update(more)
        values["partitions"] = []
        for k, (partition, quarantine) in enumerate(self._partitions.items()):
            state, more = quarantine.to_state(f"quarantine.{k}.")
            values["partitions"].append({"partition": partition, **state})
            arrays.update(more)
        values["tails"] = []
        for k, (partition, tails) in enumerate(self._tails.items()):
            state, more = tails.to_state(f"tails.{k}.", len(self._centre))
            values["tails"].append({"partition": partition, **state})
            arrays.update(more)
        return values, arrays

    @classmethod
    def from_state(
        cls,
        state: tuple[Mapping[str, Any], Mapping[str, NDArray[Any]]],
        policy: LearningPolicy,
        centre: Floats,
        seed: int,
    ) -> Learner:
        """The inverse of `to_state`: a learner that goes on exactly the same.

        Raises:
            StateError: it does not fit the columns or the policy.
        """
        values, arrays = state
        learner = cls(policy, centre, seed)
        if arrays["sums"].shape != learner._sums.shape:
            raise StateError(
                f"saved moments have {arrays['sums'].shape[1]} columns, expected {len(centre)}: the profile "
                "changed; delete the checkpoint to start afresh"
            )
        learner._sums = np.array(arrays["sums"])
        learner._alarms = np.array(arrays["alarms"])
        learner.records_learned = int(values["records_learned"])
        learner.records_dropped = int(values["records_dropped"])
        for name, store in learner._stores().items():
            store.load_state(values[name], arrays, f"{name}.")
        if "judged" in values:  # older checkpoints have none
            learner.judged.load_state(values["judged"], arrays, "judged.")
        for k, item in enumerate(values["partitions"]):
            learner._quarantine(item["partition"]).load_state(item, arrays, f"quarantine.{k}.")
        for k, item in enumerate(values.get("tails", ())):
            tails = learner._tails[item["partition"]] = Tails(policy)
            tails.load_state(item, arrays, f"tails.{k}.")
        return learner
