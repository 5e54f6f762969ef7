"""What the aggregator says: plans, candidates, marks, releases, ends of rounds."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import fsum
from statistics import fmean

from schemas import (
    ArtefactRef,
    Message,
    ModelArtefact,
    Release,
    RoundCandidate,
    RoundClosed,
    RoundMark,
    RoundPlan,
    Vote,
)
from services.aggregator.outbox import ARTEFACT, TOMBSTONE
from services.aggregator.settings import AggregatorSettings
from services.runtime.outbox import Letter
from services.runtime.topics import Topics
from streamgauge.federation import round_events as ev
from streamgauge.federation.counts import cap_counts
from streamgauge.federation.round_state import LogPhase, Round
from streamgauge.federation.tally import site_votes

TRAINING_SHARE = 0.7
"""Share of the time for updates that nodes may train; the rest is for sending and reading."""
_MARKS = uuid.UUID("6f1f9a53-6d0f-5a39-a1a8-8f0d3b9f1c55")
_UNSENT = 0
"""Stands for an artefact's offset until the outbox knows it."""


@dataclass(frozen=True)
class Stored:
    """An artefact by what names it."""

    sha256: str
    size_bytes: int

    @property
    def ref(self) -> ArtefactRef:
        """As it is named in messages; the outbox puts in the offset."""
        return ArtefactRef(sha256=self.sha256, offset=_UNSENT, size_bytes=self.size_bytes)


def accepted_counts(current: Round, cap: float) -> dict[str, int]:
    """Records behind each accepted update, after capping."""
    capped = cap_counts(current.accepted, current.sites, cap)
    return {node: int(count) for node, count in capped.items()}


class Scribe:
    """Writes messages of one federation.

    Args:
        settings: federation, detector, effort.
        topics: names.
    """

    def __init__(self, settings: AggregatorSettings, topics: Topics) -> None:
        self._settings = settings
        self._topics = topics

    def _letter(self, topic: str, key: str, message: Message, partition: int | None = None) -> Letter:
        return Letter(topic, key, message.TYPE, message.to_json().decode(), partition)

    def plan(self, current: Round, base_sha256: str | None, now: float) -> Letter:
        """Open a round."""
        settings = self._settings
        plan = RoundPlan(
            federation=settings.federation,
            round=current.number,
            kind=current.kind,
            participants=tuple(sorted(current.sites)),
            detector=settings.detector,
            detector_config=settings.detector_config,
            schema_hash=current.schema_hash,
            layout_hash=current.layout_hash,
            base_release_seq=current.base_release_seq,
            base_sha256=base_sha256,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            seconds_allowed=TRAINING_SHARE * settings.update_timeout_s,
            rule=settings.rule,
            rule_config=settings.rule_config,
            terms=settings.terms,
            seed=settings.seed + current.number,
            opened_at=_moment(now),
        )
        return self._letter(self._topics.rounds, settings.federation, plan)

    def marks(self, number: int, phase: LogPhase, partitions: int) -> list[Letter]:
        """One mark for every partition; a repeated mark has the same id."""
        topic = self._topics.updates if phase == "updates" else self._topics.votes
        federation = self._settings.federation
        letters = []
        for partition in range(partitions):
            mark_id = uuid.uuid5(_MARKS, f"{federation}\n{number}\n{phase}\n{partition}")
            mark = RoundMark(federation=federation, round=number, phase=phase, mark_id=mark_id)
            letters.append(self._letter(topic, federation, mark, partition))
        return letters

    def header(self, current: Round, content: str) -> ModelArtefact:
        """Header of an artefact."""
        return ModelArtefact(
            federation=self._settings.federation,
            content="weights" if content == "weights" else "statistics",
            round=current.number,
            detector=self._settings.detector,
            detector_config=self._settings.detector_config,
            schema_hash=current.schema_hash,
            layout_hash=current.layout_hash,
        )

    def artefact(self, sha256: str) -> Letter:
        """Send an artefact's bytes."""
        return Letter(self._topics.models, f"{self._settings.federation}/{sha256}", ARTEFACT, "{}")

    def tombstone(self, sha256: str) -> Letter:
        """Let compaction drop an artefact."""
        return Letter(self._topics.models, f"{self._settings.federation}/{sha256}", TOMBSTONE, "{}")

    def candidate(self, current: Round, weights: Stored) -> Letter:
        """Ask for votes."""
        candidate = RoundCandidate(
            federation=self._settings.federation,
            round=current.number,
            weights=weights.ref,
            base_release_seq=current.base_release_seq,
            voters=tuple(sorted(current.sites)),
            accepted=accepted_counts(current, self._settings.count_cap),
            refused=dict(current.refused),
        )
        return self._letter(self._topics.rounds, self._settings.federation, candidate)

    def release(
        self,
        publish: ev.Publish,
        weights: Stored,
        statistics: Stored | None,
        metrics: Mapping[str, float],
        now: float,
    ) -> Letter:
        """Put a model in force."""
        current, settings = publish.round, self._settings
        accepted = accepted_counts(current, settings.count_cap)
        release = Release(
            federation=settings.federation,
            release_seq=publish.release_seq,
            version=f"{publish.lineage}.{publish.release_seq}",
            kind="release",
            weights=weights.ref,
            statistics=statistics.ref if statistics else None,
            detector=settings.detector,
            detector_config=settings.detector_config,
            schema_hash=current.schema_hash,
            layout_hash=current.layout_hash,
            lineage=publish.lineage,
            round=current.number,
            round_kind=current.kind,
            previous_release_seq=publish.previous_release_seq,
            participants=tuple(sorted(accepted)),
            records=sum(accepted.values()),
            metrics=dict(metrics),
            created_at=_moment(now),
        )
        return self._letter(self._topics.releases, f"{settings.federation}/{publish.release_seq}", release)

    def closed(self, close: ev.Close, now: float) -> Letter:
        """Tell how a round ended."""
        current = close.round
        closed = RoundClosed(
            federation=self._settings.federation,
            round=current.number,
            outcome=close.outcome,
            reason=close.reason,
            release_seq=close.release_seq,
            accepted=accepted_counts(current, self._settings.count_cap),
            refused=dict(current.refused),
            votes=site_votes(current.votes, current.sites),
            closed_at=_moment(now),
        )
        return self._letter(self._topics.rounds, self._settings.federation, closed)


def _moment(now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC)


def vote_means(votes: list[Vote]) -> dict[str, float]:
    """Means over the votes, for people; empty without votes."""
    if not votes:
        return {}
    means = {
        "auc_candidate": fmean(vote.auc_candidate for vote in votes),
        "auc_release": fmean(vote.auc_release for vote in votes),
        "false_alarm_rate": fmean(vote.false_alarm_rate for vote in votes),
    }
    losses = [vote.loss for vote in votes if vote.loss is not None]
    # Divided first: a loss is any finite number, and the sum of two of them may be none.
    return means | ({"loss": fsum(loss / len(losses) for loss in losses)} if losses else {})
