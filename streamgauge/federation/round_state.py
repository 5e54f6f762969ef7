"""What the round machine (`streamgauge.federation.rounds`) remembers and what it is told to obey."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

RoundKind = Literal["agreement", "training"]
LogPhase = Literal["updates", "votes"]
Phase = Literal["updates", "merging", "votes", "settling"]
Outcome = Literal["released", "rejected", "abandoned"]


class Position(NamedTuple):
    """Where an event stands in the log of `updates` or `votes`."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class NodeView:
    """What a live node last reported, as far as rounds care."""

    node: str
    site: str
    incarnation: int
    schema_hash: str
    layout_hash: str
    ready_for_agreement: bool
    ready_to_train: bool
    release_seq: int


@dataclass(frozen=True, slots=True)
class RoundPolicy:
    """When rounds open and close.

    Attributes:
        min_nodes: participants needed to open a round.
        quorum: share of the participants whose updates are needed at the marks, in (0, 1].
        round_interval_s: from the opening of one training round to the next.
        retry_interval_s: the same for agreements, and from one mark to its repetition if it was not seen.
        update_timeout_s: from a plan to the marks on `updates`.
        vote_timeout_s: from a candidate to the marks on `votes`.
        max_rejections: so many vetoed candidates in a row halve the server's step.
        late_rounds: so many rounds later an update may still count, discounted by its rule; 0: none may.
        update_partitions, vote_partitions: partitions of `updates` and of `votes`; each gets its mark.
    """

    min_nodes: int = 2
    quorum: float = 0.5
    round_interval_s: float = 3600.0
    retry_interval_s: float = 60.0
    update_timeout_s: float = 600.0
    vote_timeout_s: float = 300.0
    max_rejections: int = 3
    late_rounds: int = 0
    update_partitions: int = 1
    vote_partitions: int = 1


@dataclass(frozen=True, slots=True)
class Round:
    """An open round.

    Attributes:
        number: strictly rises over the federation's life; the first agreement is 0.
        sites: participant -> its site.
        incarnations: participant -> incarnation when the round opened; an older one is a zombie.
        began_at: when the present phase began, seconds of the aggregator's clock.
        mark_at: when marks are due (again).
        marks: partition -> offset of the first mark of the present phase.
        accepted: participant -> records, first valid update only.
        refused: participant -> reason of the last refusal.
        candidate: SHA-256 of the candidate's weights.
        votes: participant -> approve, first valid vote only.
    """

    number: int
    kind: RoundKind
    sites: Mapping[str, str]
    incarnations: Mapping[str, int]
    schema_hash: str
    layout_hash: str
    base_release_seq: int
    opened_at: float
    began_at: float
    mark_at: float
    phase: Phase = "updates"
    marks: Mapping[int, int] = field(default_factory=dict)
    accepted: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    candidate: str | None = None
    votes: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Late:
    """An update that came too late for its own round and waits for a later one.

    Attributes:
        round: that it was made for.
        base_release_seq: release that it starts from.
        counts_from: first round in which it may count.
    """

    round: int
    base_release_seq: int
    counts_from: int


@dataclass(frozen=True, slots=True)
class State:
    """All that the machine remembers.

    Attributes:
        release_seq: the newest release, 0 before the first; only rises.
        lineage: rises with every agreement that was released.
        schema_hash, layout_hash: of the newest release's lineage.
        next_round: number of the next round.
        step: the server's step, halved after rejections, doubled up to 1 by a release.
        rejections: vetoed candidates in a row.
        opened_at: when the last round of each kind was opened.
        round: the open round.
        past: the last training rounds of this lineage, oldest first, whose late updates may still count.
        late: node -> its late update; the newest only.
    """

    release_seq: int = 0
    lineage: int = 0
    schema_hash: str | None = None
    layout_hash: str | None = None
    next_round: int = 0
    step: float = 1.0
    rejections: int = 0
    opened_at: Mapping[str, float] = field(default_factory=dict)
    round: Round | None = None
    past: tuple[Round, ...] = ()
    late: Mapping[str, Late] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> State:
        """The inverse of `to_json`, also after a trip through JSON text."""
        fields = dict(value)
        if (open_round := fields.get("round")) is not None:
            fields["round"] = _round(open_round)
        fields["past"] = tuple(_round(one) for one in fields.get("past", ()))
        fields["late"] = {node: Late(**one) for node, one in fields.get("late", {}).items()}
        return cls(**fields)


def _round(value: Mapping[str, Any]) -> Round:
    marks = {int(partition): offset for partition, offset in value["marks"].items()}
    return Round(**{**value, "marks": marks})
