"""Settings of the edge node: environment variables `STREAMGAUGE_EDGE_*`."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic_settings import SettingsConfigDict

from services.runtime.rdkafka import Client
from services.runtime.settings import ClusterSettings, ServiceSettings
from streamgauge.detectors import DETECTORS
from streamgauge.errors import ConfigurationError
from streamgauge.stream.grouping import GroupingPolicy
from streamgauge.stream.learning import LearningPolicy
from streamgauge.stream.source_health import HealthRule


class AlertSettings(BaseModel):
    """When records become alerts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    false_alarms_per_day: float = Field(
        default=1.0, gt=0, le=86400, description="Allowed false-alarm events per day and entity."
    )
    f_beta: float = Field(default=1.0, gt=0, le=10, description="Beta of F-beta where labels exist.")
    gap_s: float = Field(default=60.0, gt=0, description="Abnormal records closer than this are one alert.")
    max_records: int = Field(default=10_000, ge=2, description="Longer alerts are cut and continued.")
    max_duration_s: float = Field(default=3600.0, gt=0, description="Longer alerts are cut and continued.")
    max_entities: int = Field(default=10_000, ge=1, description="Entities beyond share one context.")
    explained_per_s: float = Field(default=50.0, ge=0, description="Explanations a second, worst first.")
    features: int = Field(default=8, ge=1, le=100, description="Features named in an explanation.")

    def policy(self) -> GroupingPolicy:
        """As the library takes it."""
        return GroupingPolicy(
            gap_s=self.gap_s,
            max_records=self.max_records,
            max_duration_s=self.max_duration_s,
            max_entities=self.max_entities,
        )


class LearningSettings(BaseModel):
    """What the node learns from. Durations are event time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    warm_up_s: float = Field(
        default=3600.0, ge=0, description="No alerts before this much of the stream was seen."
    )
    quarantine_s: float = Field(default=3600.0, ge=0, description="Records are learned only this much later.")
    bucket_s: float = Field(default=60.0, gt=0, description="A bucket near an alert is dropped whole.")
    guard_buckets: int = Field(default=1, ge=0, le=1000, description="Buckets dropped on each side of an alert.")
    max_entities: int = Field(
        default=100,
        ge=1,
        le=100_000,
        description="Of a partition with a quarantine of their own; others share one.",
    )
    rows_per_bucket: int = Field(default=8, ge=1, le=1000, description="Rows sampled per entity and bucket.")
    holdout_every: int = Field(default=4, ge=2, le=1000, description="Each n-th bucket is held out.")
    reservoir_rows: int = Field(default=20_000, ge=100, le=10_000_000, description="Training rows kept.")
    holdout_rows: int = Field(default=20_000, ge=100, le=10_000_000, description="Held-out rows kept, the newest.")
    min_records: int = Field(default=1000, ge=20, description="Presumed-normal records before taking part.")
    min_holdout: int = Field(default=200, ge=20, description="Held-out records before voting and alerting.")

    def policy(self, keep_positions: bool, window: int = 1) -> LearningPolicy:
        """As the library takes it; `window` is the detector's: a long one needs more rows of a bucket."""
        return LearningPolicy(
            bucket_s=self.bucket_s,
            delay_s=self.quarantine_s,
            guard_buckets=self.guard_buckets,
            max_entities=self.max_entities,
            rows_per_bucket=self.rows_per_bucket,
            holdout_every=self.holdout_every,
            holdout_rows_per_bucket=60 if window <= 60 else 2 * window,
            reservoir_rows=self.reservoir_rows,
            holdout_rows=self.holdout_rows,
            keep_positions=keep_positions,
            window=window,
        )


class HealthSettings(BaseModel):
    """When a source is noticed; of profiles with a sampling period. Durations are event time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    silent_after_s: float | None = Field(
        default=None,
        gt=0,
        description="An entity without a record; default: 10 sampling periods, at least a minute.",
    )
    stuck_after_s: float | None = Field(
        default=None,
        gt=0,
        description="A sensor at one value; default: 100 sampling periods, at least 10 minutes.",
    )

    def rule(self, sampling_period_s: float | None) -> HealthRule | None:
        """As the library takes it; None for a source without a period of its own, as of network flows."""
        if sampling_period_s is None:
            return None
        return HealthRule(
            self.silent_after_s or max(60.0, 10 * sampling_period_s),
            self.stuck_after_s or max(600.0, 100 * sampling_period_s),
        )


class EdgeSettings(ServiceSettings):
    """All settings of an edge node."""

    model_config = SettingsConfigDict(env_prefix="STREAMGAUGE_EDGE_")

    node: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$", description="site/worker"
    )
    records: ClusterSettings = Field(description="The site's own cluster: records, alerts, dead letters.")
    federation_cluster: ClusterSettings | None = Field(default=None, description="The shared cluster.")
    records_cluster_name: str = Field(default="records", min_length=1, description="Part of every record's id.")
    replication_factor: int = Field(default=1, ge=1, le=9, description="Of the topics that are created.")

    topics: tuple[str, ...] = Field(default=(), description="Topics of records, a JSON list.")
    topic_pattern: re.Pattern[str] | None = Field(
        default=None, description="Regular expression: topics of this name are read as well, new ones too."
    )
    new_topics_interval_s: float = Field(
        default=30.0, gt=0, le=3600, description="Between two looks for new topics of the pattern."
    )
    partitions: tuple[int, ...] | None = Field(default=None, description="Assigned mode: these only; else all.")
    mode: Literal["assigned", "group"] = Field(default="assigned", description="group: share with other workers.")
    group_id: str = Field(
        default="streamgauge-edge",
        min_length=1,
        description="Consumer group; in assigned mode the node's name is added.",
    )
    client: Client = Field(
        default="auto",
        description="Library that reads records; auto: librdkafka where its extra is installed, on Apache Kafka.",
    )
    start: Literal["earliest", "latest"] | datetime = Field(
        default="earliest", description="Where to start without a commit: earliest, latest or an ISO 8601 time."
    )
    profile: str = Field(description="Name of a bundled profile or path of a TOML file.")
    profiles: dict[str, str] = Field(
        default_factory=dict, description="Topic -> profile, of topics that another profile reads, as JSON."
    )

    max_ahead_s: float = Field(
        default=3600.0, gt=0, description="A record dated further after its message's timestamp is a dead letter."
    )

    detector: str = Field(default="autoencoder", description="Name of a detector.")
    detector_config: dict[str, Any] = Field(
        default_factory=dict, description="Its hyper-parameters, as JSON; the same on all nodes."
    )
    learn_labels: bool = Field(default=False, description="Learn from the profile's label field.")
    alerts: AlertSettings = Field(default=AlertSettings(), description="When records become alerts.")
    learning: LearningSettings = Field(default=LearningSettings(), description="What is learned from.")
    health: HealthSettings = Field(default=HealthSettings(), description="When a source is noticed.")

    key_file: Path | None = Field(default=None, description="Private key that signs what goes to the federation.")
    aggregator_key_file: Path | None = Field(default=None, description="The aggregator's pinned public key.")
    aggregator: str = Field(default="aggregator", description="Name of the aggregator whose messages count.")
    pinned_bundle: Path | None = Field(default=None, description="Score with this bundle only; no federation.")

    commit_interval_s: float = Field(default=1.0, gt=0, le=60, description="Between commits of offsets.")
    checkpoint_interval_s: float = Field(default=30.0, gt=0, le=3600, description="Between checkpoints.")
    status_interval_s: float = Field(default=2.0, gt=0, le=600, description="Between status reports.")
    poll_timeout_s: float = Field(default=0.2, gt=0, le=10, description="Longest wait for records in one turn.")

    @property
    def site(self) -> str:
        """The part of the node's name before the slash; votes count per site."""
        return self.node.partition("/")[0]

    @field_validator("start", mode="wrap")
    @classmethod
    def _one_line(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise ValueError("use earliest, latest or a time with its zone, e.g. 2026-01-31T00:00:00Z") from None

    @field_validator("detector")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in DETECTORS:
            raise ValueError(f"use one of {', '.join(DETECTORS)}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        try:
            DETECTORS[self.detector](1, self.detector_config)
        except ConfigurationError as error:
            raise ValueError(f"detector_config: {error}") from None
        if self.pinned_bundle is None:
            needed = ("federation_cluster", "key_file", "aggregator_key_file")
            missing = [name for name in needed if getattr(self, name) is None]
            if missing:
                raise ValueError(f"{', '.join(missing)} must be set, unless pinned_bundle is")
        if not self.topics and self.topic_pattern is None:
            raise ValueError("topics or topic_pattern must say what is read")
        if self.mode == "group" and self.partitions is not None:
            raise ValueError("partitions cannot be set in group mode; the group decides")
        if isinstance(self.start, datetime) and self.start.tzinfo is None:
            raise ValueError("start needs a zone, e.g. 2026-01-31T00:00:00Z")
        return self
