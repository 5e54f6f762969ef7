"""The messages that travel between Streamgauge's services.

Every message is a frozen pydantic model; ``schemas/json`` holds the exported JSON Schemas. This package
imports pydantic and nothing else of the project. Bytes, headers and signatures are made in
``services.runtime.envelope``.
"""

from schemas.alerts import Alert, AlertFeature, AlertState, RecordRef
from schemas.base import Message, UnsupportedVersionError
from schemas.federation import (
    ArtefactRef,
    LayoutItem,
    ModelArtefact,
    ModelUpdate,
    NodePhase,
    NodeStatus,
    Release,
    RoundCandidate,
    RoundClosed,
    RoundMark,
    RoundPlan,
    Vote,
)
from schemas.feedback import Verdict, VerdictKind
from schemas.streams import PartitionContextMessage

MESSAGES: tuple[type[Message], ...] = (
    Alert,
    Verdict,
    PartitionContextMessage,
    NodeStatus,
    RoundPlan,
    RoundCandidate,
    RoundClosed,
    RoundMark,
    ModelUpdate,
    Vote,
    ModelArtefact,
    Release,
)
"""Every message type; `streamgauge schemas export` writes one JSON Schema for each."""

__all__ = [
    "MESSAGES",
    "Alert",
    "AlertFeature",
    "AlertState",
    "ArtefactRef",
    "LayoutItem",
    "Message",
    "ModelArtefact",
    "ModelUpdate",
    "NodePhase",
    "NodeStatus",
    "PartitionContextMessage",
    "RecordRef",
    "Release",
    "RoundCandidate",
    "RoundClosed",
    "RoundMark",
    "RoundPlan",
    "UnsupportedVersionError",
    "Verdict",
    "VerdictKind",
    "Vote",
]
