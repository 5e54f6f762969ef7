"""From messages of one tag each to scores: decode, pivot, then as any record (ADR 035)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from services.edge_node.poison import NO_RECORDS_FAULT, bisect
from services.edge_node.scored import Crashed, Scored, ScoringSteps, refuse_systematic
from services.edge_node.scorer import Scorer
from services.edge_node.settings import EdgeSettings
from services.runtime.log import LogRecord
from streamgauge.profiles.profile import Profile
from streamgauge.profiles.tags import TagDecoder, decoded_ticks
from streamgauge.stream.context import PartitionContext
from streamgauge.stream.ticks import Ticks


class TickSteps(ScoringSteps):
    """Decode tags, pivot, impute, encode and score; of a profile with the long layout."""

    def __init__(self, settings: EdgeSettings, profile: Profile) -> None:
        super().__init__(settings, profile)
        self._tags = TagDecoder(profile, learn_labels=settings.learn_labels, max_ahead_s=settings.max_ahead_s)
        self._profile, self._rule = profile, profile.tick_rule

    def run(
        self, records: Sequence[LogRecord], context: PartitionContext, scorer: Scorer | None
    ) -> tuple[list[Scored], list[Crashed]]:
        """As of records; a tick that throws alone is dropped, and the message that closed it is to blame."""
        tags = self._tags.decode_tags(records)
        ticks = context.pivot.take(tags.batch, self._rule)
        late = context.pivot.late
        outcomes = {"taken": len(tags.batch.columns) - late, "late": late, "unknown": tags.unknown}
        parts, failed = bisect(lambda part: self._ticks(part, context, scorer), ticks, NO_RECORDS_FAULT)
        blamed = {
            int(ticks.closed_by[i]): f"the tick of {ticks.entities[i]!r} that it closed fails: {why}"
            for i, why in failed
        }
        scored = [part for _, part in parts]
        crashed = [(records[i], why) for i, why in blamed.items()]
        refuse_systematic(scored, crashed)
        nothing = self._ticks(ticks[:0], context, None)
        decoded = replace(nothing.decoded, rejected=tags.rejected)
        first = replace(nothing, records=records, decoded=decoded, outcomes=Counter(outcomes))
        return [first, *scored], crashed

    def rest(self, context: PartitionContext, scorer: Scorer | None) -> tuple[list[Scored], list[Crashed]]:
        """Score the open ticks as they are; one that throws is dropped, since no message closed it."""
        ticks = context.pivot.finish()
        parts, failed = bisect(lambda part: self._ticks(part, context, scorer), ticks, NO_RECORDS_FAULT)
        dropped = replace(self._ticks(ticks[:0], context, None), outcomes=Counter(dropped=len(failed)))
        return [*(part for _, part in parts), dropped], []

    def _ticks(self, ticks: Ticks, context: PartitionContext, scorer: Scorer | None) -> Scored:
        scored = self._rows((), decoded_ticks(ticks, self._profile), ticks.offsets, context, scorer)
        kept = np.isin(ticks.offsets, scored.offsets)
        complete = int((ticks.complete & kept).sum())
        outcomes = {"complete": complete, "partial": int(kept.sum()) - complete, "dropped": int((~kept).sum())}
        return replace(scored, outcomes=Counter(outcomes))
