"""From records to scores: all that can go wrong with a record before it has changed anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.edge_node.alerts import worst_payload
from services.edge_node.dead_letters import Refused
from services.edge_node.poison import FEW, NO_RECORDS_FAULT, SystematicError, bisect
from services.edge_node.scorer import Scorer
from services.edge_node.settings import EdgeSettings
from services.runtime.log import LogRecord
from streamgauge.calibration.threshold import Threshold
from streamgauge.profiles.decoder import Decoded, Decoder
from streamgauge.profiles.imputing import Imputed, Imputer
from streamgauge.profiles.profile import Profile
from streamgauge.stream.context import PartitionContext

_ROW_BITS = 40
"""Offsets stay below 2^40 for a million messages a second over 12 days, rows below 2^23."""

Crashed = tuple[LogRecord, str]
"""A record that throws alone, and what it throws."""


@dataclass(frozen=True)
class Scored:
    """Records of one partition in log order; n of them are good.

    Attributes:
        records: all, also those that `decoded` rejects.
        decoded, imputed: the n good ones.
        x: (n, width) float32, encoded; NaN = masked.
        raw: (n,) raw scores; NaN without a model.
        forecasts: (n, e) float32, as the detector's `forecast` gave them; None of detectors without.
        offsets: (n,) int64.
        outcomes: of messages and ticks in the long layout, of records out of order: what became of how many.
        rows: (n,) int64, row within the message; None: a message is one record.
        refused_rows: of messages of many records.
    """

    records: Sequence[LogRecord]
    decoded: Decoded
    imputed: Imputed
    x: NDArray[np.float32]
    raw: NDArray[np.float64]
    forecasts: NDArray[np.float32] | None
    offsets: NDArray[np.int64]
    outcomes: Counter[str] = field(default_factory=Counter)
    rows: NDArray[np.int64] | None = None
    refused_rows: Sequence[Refused] = ()

    @property
    def refused(self) -> list[Refused]:
        """What goes to the dead letters."""
        whole = [Refused(self.records[r.position], r.reason, r.detail) for r in self.decoded.rejected]
        return [*whole, *self.refused_rows]

    @property
    def positions(self) -> NDArray[np.int64]:
        """(n,) one number for each record: its offset where a message is one record."""
        return self.offsets if self.rows is None else self.offsets + (self.rows << _ROW_BITS)

    def payload(self, row: int, scorer: Scorer, threshold: Threshold) -> dict[str, Any]:
        """What an alert keeps of a good record."""
        worst = worst_payload(self.imputed, row, scorer, threshold, float(self.raw[row]))
        kept = {**worst, "context": self.decoded.context(row)}
        return kept if self.forecasts is None else {**kept, "forecast": self.forecasts[row].tolist()}


class ScoringSteps:
    """Decode, impute, encode and score.

    Args:
        settings: of the node.
        profile: of its source.
    """

    def __init__(self, settings: EdgeSettings, profile: Profile) -> None:
        self._decoder = Decoder(profile, learn_labels=settings.learn_labels, max_ahead_s=settings.max_ahead_s)
        self._imputer = Imputer(profile)
        self._schema = profile.schema

    def run(
        self, records: Sequence[LogRecord], context: PartitionContext, scorer: Scorer | None
    ) -> tuple[list[Scored], list[Crashed]]:
        """Score records of one partition, in log order.

        Args:
            records: not empty.
            context: the partition's; its last values and sequence states remember the records that were scored,
                and only them.
            scorer: None before the first release.
        Returns:
            The records in parts, and each that throws alone, with its exception.
        Raises:
            SystematicError: more than `FEW` throw alone, and none is scored.
            StateError, MemoryError: as they came; no record is to blame.
        """
        parts, failed = bisect(lambda part: self._score(part, context, scorer), records, NO_RECORDS_FAULT)
        scored = [part for _, part in parts]
        crashed = [(records[i], why) for i, why in failed]
        refuse_systematic(scored, crashed)
        return scored, crashed

    def rest(self, context: PartitionContext, scorer: Scorer | None) -> tuple[list[Scored], list[Crashed]]:
        """Score what the context held back: there is no more. Here nothing is held back."""
        return [], []

    def nothing(self, context: PartitionContext, outcomes: Counter[str]) -> Scored:
        """No records, but something to count."""
        return replace(self._score((), context, None), outcomes=outcomes)

    def _score(self, records: Sequence[LogRecord], context: PartitionContext, scorer: Scorer | None) -> Scored:
        decoded = self._decoder.decode(records)
        offsets = np.array([records[i].offset for i in decoded.good], np.int64)
        return self._rows(records, decoded, offsets, context, scorer)

    def _rows(
        self,
        records: Sequence[LogRecord],
        decoded: Decoded,
        offsets: NDArray[np.int64],
        context: PartitionContext,
        scorer: Scorer | None,
    ) -> Scored:
        """Impute, encode and score; where that fails, nothing has changed."""
        last_values = context.last_values
        mark = last_values.mark(decoded.entities) if self._imputer.remembers else None
        try:
            imputed = self._imputer.impute(decoded, last_values)
            if (kept := imputed.kept) is not None:
                decoded, imputed, offsets = decoded.only(kept), imputed.only(kept), offsets[kept]
            x = imputed.encode(self._schema)
            raw, forecasts = np.full(len(x), np.nan), None
            if scorer and len(x):
                raw, forecasts = scorer.step(x, decoded.times, decoded.entities, context.sequences)
        except Exception:
            if mark is not None:
                last_values.restore(mark)
            raise
        return Scored(records, decoded, imputed, x, raw, forecasts, offsets)


def refuse_systematic(scored: Sequence[Scored], crashed: Sequence[Crashed]) -> None:
    """Set nothing aside where more than `FEW` records fail and none is scored.

    Raises:
        SystematicError: so it is.
    """
    if len(crashed) > FEW and not any(len(part.raw) for part in scored):
        at, why = crashed[0]
        raise SystematicError(
            f"{len(crashed)} records fail one by one, no other of their batch is scored; the first, "
            f"{at.topic}:{at.partition}:{at.offset}, with {why}; none is set aside. Free memory, check "
            "profile and bundle, or go back to the version before, and report it"
        )
