"""What the trainer process is asked to do for a release, a candidate or a plan, and what its results mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from schemas import ModelUpdate, RoundCandidate, RoundPlan, Vote
from services.edge_node.jobs import EFFORT, Arrays, Values, prefixed, unprefixed
from services.edge_node.settings import EdgeSettings
from services.runtime.codecs import pack
from streamgauge.calibration.threshold import Threshold
from streamgauge.detectors import Detector
from streamgauge.features import FeatureSchema
from streamgauge.judging import VotePolicy
from streamgauge.layout import MOMENT_PARTS
from streamgauge.scaler import SCALER
from streamgauge.state import ModelState
from streamgauge.stream.learning import Learner


@dataclass(frozen=True)
class Answer:
    """An update or vote: saved before it is sent, sent again unchanged after a restart."""

    kind: str
    asked_by: str
    body: bytes


def asked_by(message: RoundPlan | RoundCandidate) -> str:
    """What an answer answers; round numbers alone may come again after the aggregator's database was lost."""
    if isinstance(message, RoundCandidate):
        return f"{message.round}/{message.weights.sha256}"
    return f"{message.round}/{message.opened_at.isoformat()}"


@dataclass(frozen=True)
class Calibrated:
    """What calibrating a release gave: a threshold, or why the release is held back."""

    release_seq: int
    threshold: Threshold | None
    held: str | None


@dataclass(frozen=True)
class Task:
    """A job for the trainer and how to read its result.

    Attributes:
        values, arrays: the job.
        read: makes an answer or a threshold of the result.
        base: where a training starts; None for other jobs.
    """

    values: Values
    arrays: Arrays
    read: Callable[[Values, Arrays], Answer | Calibrated]
    base: Arrays | None = None

    def trained(self, result: Arrays) -> Arrays | None:
        """The weights that a training ended with; None for other jobs."""
        if self.base is None:
            return None
        delta = unprefixed("delta", result)
        return {name: array + delta[name] for name, array in self.base.items()}


@dataclass(frozen=True)
class Workshop:
    """Makes tasks from what the node has learned.

    Attributes:
        settings: of the node.
        schema: of its profile.
        detector: decides layout and hyper-parameters.
        learner: rows, hold-out and moments.
    """

    settings: EdgeSettings
    schema: FeatureSchema
    detector: Detector
    learner: Learner

    def agreement(self, plan: RoundPlan) -> Answer:
        """Round 0: the moments of the encoded columns, no training.

        A column that fewer records filled than the item's `min_count` is sent as empty: it would tell about single
        records.
        """
        moments = self.learner.moments
        parts = dict(zip(MOMENT_PARTS, (moments.n, moments.sum, moments.sumsq), strict=True))
        (least,) = (i.min_count for i in self.detector.layout.of_phase("agreement") if i.name == SCALER)
        arrays = {f"{SCALER}.{part}": np.where(moments.n < least, 0.0, value) for part, value in parts.items()}
        header = self._update_header(plan, {"records": self.learner.records_learned})
        return Answer("update", asked_by(plan), pack(header, arrays))

    def train(self, plan: RoundPlan, model: ModelState, previous: Arrays | None = None) -> Task:
        """Train from the plan's base with the plan's effort and terms.

        Args:
            previous: weights that this node's last training ended with.
        """
        x, y = self.learner.training_rows()
        values = self._values("train") | {name: getattr(plan, name) for name in (*EFFORT, "seconds_allowed")}
        arrays = self._scaler(model) | prefixed("base", model.weights) | {"x": x, "y": y}
        arrays |= prefixed("previous", previous or {})

        def read(result: Values, delta: Arrays) -> Answer:
            header = self._update_header(plan, result)
            moved = unprefixed("delta", delta)
            sent = {item.name: moved[item.name] for item in self.detector.layout.of_phase("weights")}
            return Answer("update", asked_by(plan), pack(header, sent))  # local weights stay here

        return Task(values, arrays, read, model.weights)

    def judge(self, candidate: RoundCandidate, weights: Arrays, model: ModelState) -> Task:
        """Score the candidate beside the release, and take the statistics under it."""
        held_out = self.learner.holdout()
        values = self._values("judge") | {"policy": asdict(VotePolicy()), "seed": candidate.round}
        arrays = self._scaler(model) | self._release(model) | prefixed("candidate", weights)
        arrays |= {"x": held_out.x, "half": held_out.half, "groups": self.schema.groups()}
        if len(confirmed := self.learner.judged.rows(1.0)["x"]):
            arrays["confirmed"] = confirmed

        def read(result: Values, taken: Arrays) -> Answer:
            vote = Vote(
                federation=self.settings.federation,
                node=self.settings.node,
                site=self.settings.site,
                round=candidate.round,
                candidate_sha256=candidate.weights.sha256,
                **result,
            )
            return Answer("vote", asked_by(candidate), pack(vote, unprefixed("statistics", taken)))

        return Task(values, arrays, read)

    def calibrate(self, release_seq: int, model: ModelState) -> Task:
        """Find the threshold of a release from the hold-out (and labelled rows, where they may be used)."""
        held_out = self.learner.holdout()
        names = sorted(set(held_out.entities))
        index = {name: i for i, name in enumerate(names)}
        # Without judged alerts: all of their rows score above a line, which says little of where it should be.
        x, y = self.learner.training_rows(judged=False)
        labelled = ~np.isnan(y)
        alerts = self.settings.alerts
        values = self._values("calibrate") | {
            "entities": names,
            "exposure_s": held_out.exposure_s + held_out.alarms * self.settings.learning.bucket_s,
            "dropped_events": held_out.alarms,
            "events_per_day": alerts.false_alarms_per_day,
            "gap_s": alerts.gap_s,
            "f_beta": alerts.f_beta,
            "learn_labels": self.settings.learn_labels,
        }
        arrays = self._scaler(model) | self._release(model)
        arrays |= {"x": held_out.x, "times": held_out.times}
        arrays |= {"entities": np.array([index[name] for name in held_out.entities], np.int64)}
        arrays |= {"labelled_x": x[labelled], "labelled_y": y[labelled]}

        def read(result: Values, _: Arrays) -> Calibrated:
            threshold = Threshold.of(result["threshold"]) if result["threshold"] else None
            return Calibrated(release_seq, threshold, result["held"])

        return Task(values, arrays, read)

    def _values(self, kind: str) -> Values:
        config = asdict(self.detector.config)
        return {"kind": kind, "detector": self.detector.name, "width": self.detector.width, "config": config}

    def _scaler(self, model: ModelState) -> Arrays:
        scaler = model.scaler(self.schema)
        return {"scaler_mean": scaler.mean, "scaler_scale": scaler.scale}

    def _release(self, model: ModelState) -> Arrays:
        return prefixed("release", model.weights) | prefixed("release_statistics", model.statistics)

    def _update_header(self, plan: RoundPlan, result: Values) -> ModelUpdate:
        return ModelUpdate(
            federation=self.settings.federation,
            node=self.settings.node,
            site=self.settings.site,
            round=plan.round,
            kind=plan.kind,
            base_release_seq=plan.base_release_seq,
            schema_hash=self.schema.hash,
            layout_hash=self.detector.layout.hash,
            records=result["records"],
            loss_before=result.get("loss_before"),
            loss_after=result.get("loss_after"),
            train_seconds=result.get("seconds"),
        )
