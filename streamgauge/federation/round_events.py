"""What the round machine (`streamgauge.federation.rounds`) is told, and what it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streamgauge.federation.round_state import Late, LogPhase, NodeView, Outcome, Round

# Events


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed. `now` in seconds of the aggregator's clock; `nodes` are those alive."""

    now: float
    nodes: tuple[NodeView, ...]


@dataclass(frozen=True, slots=True)
class UpdateArrived:
    """An update whose content is valid for the open round; needs a position."""

    round: int
    node: str
    records: int


@dataclass(frozen=True, slots=True)
class UpdateRefused:
    """An update of a participant that is not valid."""

    round: int
    node: str
    reason: str


@dataclass(frozen=True, slots=True)
class MarkArrived:
    """One of the aggregator's own marks; needs a position."""

    round: int
    phase: LogPhase


@dataclass(frozen=True, slots=True)
class Merged:
    """Answer to `Merge`: the candidate's SHA-256, or why there is none."""

    now: float
    candidate: str | None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class VoteArrived:
    """A vote whose content is valid; needs a position."""

    round: int
    node: str
    candidate: str
    approve: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """Answer to `Settle`: the statistics are merged, or why they cannot be."""

    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Restarted:
    """The process is new: what the open phase collected is read from the log again."""


Event = Tick | UpdateArrived | UpdateRefused | MarkArrived | Merged | VoteArrived | Settled | Restarted

# Actions


@dataclass(frozen=True, slots=True)
class Open:
    """Publish the plan of this round."""

    round: Round


@dataclass(frozen=True, slots=True)
class SendMarks:
    """Append a mark to every partition of this phase's topic."""

    round: int
    phase: LogPhase


@dataclass(frozen=True, slots=True)
class Keep:
    """The update or vote counts: keep its arrays until the phase ends."""

    node: str


@dataclass(frozen=True, slots=True)
class KeepLate:
    """The update is too late for its round and may count in a later one: keep its arrays, durably, by its node."""

    node: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """The update or vote does not count."""

    node: str
    reason: str


@dataclass(frozen=True, slots=True)
class Merge:
    """Merge the accepted updates and answer with `Merged`.

    `stale`: node -> its late update, which counts as well.
    """

    round: Round
    stale: Mapping[str, Late] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Announce:
    """Publish the candidate and ask for votes."""

    round: Round


@dataclass(frozen=True, slots=True)
class Settle:
    """Merge the statistics taken under the candidate and answer with `Settled`."""

    round: Round


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish release `release_seq` with the candidate's weights."""

    round: Round
    release_seq: int
    lineage: int
    previous_release_seq: int


@dataclass(frozen=True, slots=True)
class Close:
    """Tell how the round ended."""

    round: Round
    outcome: Outcome
    reason: str
    release_seq: int | None


@dataclass(frozen=True, slots=True)
class ForgetOptimizer:
    """The server optimiser begins anew: its state led to candidates that were vetoed."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """Tell people."""

    reason: str


Action = (
    Open
    | SendMarks
    | Keep
    | KeepLate
    | Refuse
    | Merge
    | Announce
    | Settle
    | Publish
    | Close
    | ForgetOptimizer
    | Alarm
)
