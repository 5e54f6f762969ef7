"""What nodes and the aggregator tell each other; no record, entity or feature value is ever in it.

`ModelUpdate`, `Vote` and `ModelArtefact` are the headers of safetensors files (their JSON is the file's only
metadata entry, ``message``); the tensors' names and meanings are given by the layout.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from schemas.base import Count, Finite, Message, Name, Part, Seconds, Sha256

NodePhase = Literal["starting", "agreement", "learning", "watching", "held"]
"""starting: no plan yet; agreement: collecting moments; learning: warm-up, no alerts; watching: alerts are on;
held: watching, but with an older bundle because the newest release failed the node's own test."""


class LayoutItem(Part):
    """One tensor of a detector's state, and how it is merged."""

    name: str = Field(min_length=1, max_length=200)
    shape: tuple[Count, ...] = Field(max_length=8)
    dtype: Literal["float32", "float64"]
    kind: Name = Field(description="How it travels and merges: mean | moments | comoments | centroids | ...")
    phase: Literal["agreement", "weights", "under_candidate"]
    init: str = Field(default="zeros", description="zeros | ones | uniform:<bound>; how round 0 draws it.")
    min_count: Count = Field(default=20, description="With fewer records behind it, the item is not sent.")
    robust: str = Field(default="", description="Its robust merge; empty for the kind's own.")
    secure: Literal["sum", "none"] = "sum"
    dp: bool = True


class ArtefactRef(Part):
    """Where an immutable artefact lies on the topic `models`."""

    sha256: Sha256
    offset: Count
    size_bytes: Count


class NodeStatus(Message):
    """A node's report about itself, every few seconds; the newest one counts."""

    TYPE: ClassVar[str] = "streamgauge.node-status"

    federation: Name
    node: Name
    site: Name
    incarnation: Count
    at: AwareDatetime
    phase: NodePhase
    learning_left_s: Seconds | None = Field(default=None, description="Event time left until alerts start.")
    detector: Name
    schema_hash: Sha256
    layout_hash: Sha256
    layout: tuple[LayoutItem, ...]
    ready_for_agreement: bool = Field(default=False, description="Enough records for the moments.")
    ready_to_train: bool = Field(default=False, description="Enough presumed-normal records for a round.")
    release_seq: Count = 0
    held_release_seq: Count | None = None
    bundle_id: str | None = None
    records_scored: Count = 0
    records_learned: Count = 0
    alerts: Count = 0
    dead_letters: Count = 0
    silent_entities: Count = Field(default=0, description="Entities fallen silent while their source went on.")
    stuck_sensors: Count = Field(default=0, description="Sensors that stand still for much longer than ever.")
    partition_count: Count = Field(
        default=0, description="Source partitions it covers; their names stay at the site."
    )


class RoundPlan(Message):
    """Opens a round: who takes part, from which base, with which effort."""

    TYPE: ClassVar[str] = "streamgauge.round-plan"

    federation: Name
    round: Count = Field(description="Strictly rises over all lineages; the first agreement is 0.")
    kind: Literal["agreement", "training"] = Field(
        description="An agreement, on scaler and initial weights, begins every lineage."
    )
    participants: tuple[Name, ...]
    detector: Name
    detector_config: dict[str, Any] = Field(default_factory=dict)
    schema_hash: Sha256
    layout_hash: Sha256
    base_release_seq: Count = Field(description="0 in an agreement.")
    base_sha256: Sha256 | None = Field(default=None, description="The base weights' artefact.")
    epochs: int = Field(default=1, ge=1, le=10_000)
    batch_size: int = Field(default=128, ge=1, le=1_000_000)
    learning_rate: float = Field(default=1e-3, gt=0, le=10)
    seconds_allowed: Seconds = 60.0
    rule: Name = "fedavg"
    rule_config: dict[str, Any] = Field(default_factory=dict)
    terms: dict[Name, dict[str, Any]] = Field(
        default_factory=dict, description="Client term -> its settings; a node that lacks one stays away."
    )
    seed: Count = 0
    opened_at: AwareDatetime


class RoundCandidate(Message):
    """The merged weights of a round, to be judged by the participants."""

    TYPE: ClassVar[str] = "streamgauge.round-candidate"

    federation: Name
    round: Count
    weights: ArtefactRef
    base_release_seq: Count
    voters: tuple[Name, ...]
    accepted: dict[str, Count] = Field(description="Node -> records behind its update, after capping.")
    refused: dict[str, str] = Field(default_factory=dict, description="Node -> reason.")


class RoundClosed(Message):
    """How a round ended."""

    TYPE: ClassVar[str] = "streamgauge.round-closed"

    federation: Name
    round: Count
    outcome: Literal["released", "rejected", "abandoned"]
    reason: str
    release_seq: Count | None = None
    accepted: dict[str, Count] = Field(default_factory=dict)
    refused: dict[str, str] = Field(default_factory=dict)
    votes: dict[str, bool] = Field(default_factory=dict, description="Site -> approve.")
    closed_at: AwareDatetime


class RoundMark(Message):
    """Appended by the aggregator to each partition of `updates` or `votes`: what stands before it is on time."""

    TYPE: ClassVar[str] = "streamgauge.round-mark"

    federation: Name
    round: Count
    phase: Literal["updates", "votes"]
    mark_id: UUID


class ModelUpdate(Message):
    """Header of a node's contribution to a round.

    Round 0: the moments of the agreement items, tensors ``<item>.n``, ``<item>.sum``, ``<item>.sumsq``.
    Later rounds: one tensor per item of phase `weights`, the *delta* to the base.
    """

    TYPE: ClassVar[str] = "streamgauge.model-update"

    federation: Name
    node: Name
    site: Name
    round: Count
    kind: Literal["agreement", "training"]
    base_release_seq: Count
    schema_hash: Sha256
    layout_hash: Sha256
    records: Count = Field(description="Records behind it; the aggregator caps it.")
    loss_before: Finite | None = None
    loss_after: Finite | None = None
    train_seconds: Seconds | None = None


class Vote(Message):
    """Header of a node's judgement of a candidate; tensors: statistics of the items of phase `under_candidate`."""

    TYPE: ClassVar[str] = "streamgauge.vote"

    federation: Name
    node: Name
    site: Name
    round: Count
    candidate_sha256: Sha256
    approve: bool
    reason: str = Field(max_length=500)
    auc_candidate: float = Field(ge=0, le=1)
    auc_release: float = Field(ge=0, le=1)
    false_alarm_rate: float = Field(ge=0, le=1, description="On held-out records after recalibration.")
    loss: Finite | None = None
    records: Count = Field(description="Held-out records behind it.")


class ModelArtefact(Message):
    """Header of an artefact on `models`: `weights` (with the scaler) or `statistics`."""

    TYPE: ClassVar[str] = "streamgauge.model-artefact"

    federation: Name
    content: Literal["weights", "statistics"]
    round: Count
    detector: Name
    detector_config: dict[str, Any] = Field(default_factory=dict)
    schema_hash: Sha256
    layout_hash: Sha256


class Release(Message):
    """A model in force; `release_seq` strictly rises, a rollback is a new release of old weights."""

    TYPE: ClassVar[str] = "streamgauge.release"

    federation: Name
    release_seq: int = Field(ge=1)
    version: str = Field(description="Human-readable, e.g. 1.4: lineage and release.")
    kind: Literal["release", "rollback"]
    weights: ArtefactRef
    statistics: ArtefactRef | None = None
    detector: Name
    detector_config: dict[str, Any] = Field(default_factory=dict)
    schema_hash: Sha256
    layout_hash: Sha256
    lineage: Count = Field(description="Rises with every change of schema or layout.")
    round: Count
    round_kind: Literal["agreement", "training"] = Field(
        default="training", description="After an agreement the weights are drawn at random: no alerts from them."
    )
    previous_release_seq: Count
    participants: tuple[Name, ...] = ()
    records: Count = 0
    metrics: dict[str, Finite] = Field(default_factory=dict, description="Means over the votes.")
    created_at: AwareDatetime
