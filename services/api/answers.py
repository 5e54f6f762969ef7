"""What is answered: the shapes of the API's own, around the messages of `schemas`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from schemas import (
    Alert,
    ArtefactRef,
    NodeStatus,
    Release,
    RoundCandidate,
    RoundClosed,
    RoundPlan,
    VerdictKind,
)
from schemas.base import Count, Finite, Name, Sha256

_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
_UNSEEN = _CONTROL + r"\s\u00ad\u200b-\u200f\u2060\ufeff"
# Blanks around it go only after the check, so that the published pattern is the whole rule.
_Line = Annotated[
    str,
    Field(max_length=200, pattern=rf"^[^{_CONTROL}]*[^{_UNSEEN}][^{_CONTROL}]*$"),
    AfterValidator(str.strip),
]
"""One line of text with something to see in it."""


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Problem(_Answer):
    """Why a question was not answered."""

    detail: str = Field(examples=["no alert has this id"])


class Health(_Answer):
    """Whether the process lives, or what it still waits for."""

    status: str = Field(examples=["ok"])
    waiting_for: tuple[str, ...] = ()


class VerdictGiven(_Answer):
    """A person's verdict on an alert."""

    verdict: VerdictKind = Field(description="unknown takes an earlier verdict back.", examples=["attack"])
    attack_type: _Line | None = Field(
        default=None, description="What it was, or looked like.", examples=["port scan"]
    )
    comment: str | None = Field(default=None, max_length=2000, pattern=r"^[^\x00]*$", examples=["seen in the log"])
    by: _Line = Field(description="Who says so.", examples=["ada"])


class VerdictInfo(VerdictGiven):
    """The newest verdict on an alert."""

    at: AwareDatetime = Field(description="When it was given.")


class AlertInfo(Alert):
    """An alert in its newest version, and what a person said about it."""

    verdict: VerdictInfo | None = Field(description="The newest one; null where nobody has given one.")


class AlertPage(_Answer):
    """Alerts, the latest first record first."""

    items: tuple[AlertInfo, ...]
    next_cursor: str | None = Field(description="Ask with it for the next page; null on the last one.")


class ModelInfo(_Answer):
    """A model version: weights that were released, and when they count."""

    version: str = Field(examples=["1.4"])
    federation: Name
    release_seq: int = Field(ge=1, description="The release that brought it.")
    in_force: bool = Field(description="The newest release of its federation has these weights.")
    available: bool = Field(description="The weights can be downloaded here.")
    detector: Name
    detector_config: dict[str, Any]
    schema_hash: Sha256
    layout_hash: Sha256
    lineage: Count
    round: Count
    round_kind: Literal["agreement", "training"]
    weights: ArtefactRef
    statistics: ArtefactRef | None
    participants: tuple[Name, ...]
    records: Count
    metrics: dict[str, Finite]
    created_at: AwareDatetime


class ModelPage(_Answer):
    """Model versions, newest first."""

    items: tuple[ModelInfo, ...]
    next_cursor: str | None


class ReleasePage(_Answer):
    """Releases and rollbacks, newest first."""

    items: tuple[Release, ...]
    next_cursor: str | None


class RoundInfo(_Answer):
    """What the aggregator said about a round so far."""

    federation: Name
    round: Count
    state: str = Field(description="open, released, rejected or abandoned.", examples=["released"])
    last_message_at: AwareDatetime
    plan: RoundPlan | None
    candidate: RoundCandidate | None
    closed: RoundClosed | None


class RoundPage(_Answer):
    """Rounds, newest first."""

    items: tuple[RoundInfo, ...]
    next_cursor: str | None


class NodeInfo(_Answer):
    """A node's newest report."""

    status: NodeStatus
    last_report_at: AwareDatetime
    silent_s: float = Field(ge=0, description="Seconds since its last report.")


class NodeList(_Answer):
    """All known nodes, by federation and name."""

    items: tuple[NodeInfo, ...]
