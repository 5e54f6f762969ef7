"""What is abnormal at a site; stays on the site's own cluster."""

from __future__ import annotations

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from schemas.base import Count, Finite, Message, Name, Part

AlertState = Literal["opened", "grown", "closed"]


class RecordRef(Part):
    """One record of an alert, by its id and its position in the log."""

    record_id: UUID = Field(description="UUIDv5 of cluster, topic incarnation, partition, offset and row.")
    topic: str
    partition: Count
    offset: Count
    row: Count = Field(default=0, description="Row within the message; 0 for one record a message.")
    time: AwareDatetime = Field(description="Event time.")
    score: Finite = Field(ge=0, description="raw_score / threshold; 1 is the alarm line.")


class AlertFeature(Part):
    """How much one feature made the worst record abnormal."""

    name: str
    contribution: Finite = Field(description="Share of the score; the shares of an alert add up to about 1.")
    value: float | str | None = Field(default=None, description="The record's own value, None if it was missing.")
    expected: float | str | None = Field(default=None, description="What the detector expected, if it can say.")


class Alert(Message):
    """One abnormal episode of one entity; sent when it opens, when its count doubles and when it closes.

    Later versions of the same ``alert_id`` replace earlier ones.
    """

    TYPE: ClassVar[str] = "streamgauge.alert"

    alert_id: UUID = Field(description="UUIDv5 of federation, detector and the first record's id.")
    version: int = Field(ge=1, description="Rises with every message about this alert.")
    state: AlertState
    close_reason: Literal["gap", "max_records", "max_duration", "log_replaced"] | None = None
    continues: UUID | None = Field(default=None, description="The alert that this one continues, if it was cut.")
    federation: Name
    detector: Name
    node: Name
    site: Name
    entity: str = Field(max_length=1000)
    first: RecordRef
    last: RecordRef
    worst: RecordRef
    count: int = Field(ge=1, description="Abnormal records so far.")
    scores: tuple[Finite, ...] = Field(max_length=60, description="The last scores, oldest first.")
    score: Finite = Field(ge=0, description="The worst record's score.")
    raw_score: Finite = Field(ge=0)
    threshold: Finite = Field(gt=0)
    p_value: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Probability that a normal record scores so high, by n held-out ones; at least 1 / (n + 1).",
    )
    release_seq: Count = Field(description="The release in force when it opened; 0 for a pinned bundle.")
    bundle_id: str
    explained: bool = Field(description="False where the cap on explanations was reached.")
    features: tuple[AlertFeature, ...] = ()
    context: dict[str, str | float | bool | None] = Field(
        default_factory=dict, description="The profile's context fields of the first record."
    )
