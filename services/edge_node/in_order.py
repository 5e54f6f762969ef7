"""Records in order of event time before they are scored, where the profile says how long to wait for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from services.edge_node.columnar import MixedSteps, is_columnar
from services.edge_node.poison import NO_RECORDS_FAULT, bisect
from services.edge_node.scored import Crashed, Scored
from services.edge_node.scorer import Scorer
from services.edge_node.settings import EdgeSettings
from services.runtime.log import LogRecord
from streamgauge.profiles.profile import Profile
from streamgauge.stream.context import PartitionContext
from streamgauge.stream.reorder import Held


class OrderedSteps(MixedSteps):
    """Decode for the times, wait, then decode and score as ever; of a profile with `reorder_s`.

    What waits is kept as it came, so a record is decoded twice; that is half of the price, and buys that all that
    can go wrong with a record goes wrong in its turn, beside the message it came in.
    """

    def __init__(self, settings: EdgeSettings, profile: Profile) -> None:
        super().__init__(settings, profile)
        self._window_s = profile.reorder_s

    def run(
        self, records: Sequence[LogRecord], context: PartitionContext, scorer: Scorer | None
    ) -> tuple[list[Scored], list[Crashed]]:
        """As of records in order; a message of many records or one that cannot be read takes its turn at once."""
        timed = self._times(records)
        arriving = [held(record, timed[i]) for i, record in enumerate(records) if i in timed]
        due: list[LogRecord] = [*context.reorder.take(arriving, self._window_s)]
        due += [record for i, record in enumerate(records) if i not in timed]
        parts, crashed = super().run(due, context, scorer) if due else ([], [])
        outcomes = {"reordered": context.reorder.moved, "late": context.reorder.late}
        if parts and any(outcomes.values()):
            parts[0].outcomes.update(outcomes)
        elif any(outcomes.values()):
            parts = [self.nothing(context, Counter(outcomes))]
        return parts, crashed

    def rest(self, context: PartitionContext, scorer: Scorer | None) -> tuple[list[Scored], list[Crashed]]:
        """Score what waits."""
        waiting = context.reorder.drop()
        return super().run(waiting, context, scorer) if waiting else ([], [])

    def _times(self, records: Sequence[LogRecord]) -> dict[int, float]:
        """Event time by index of those of one record that can be read."""
        single = [i for i, record in enumerate(records) if not is_columnar(record)]
        parts, _ = bisect(self._decoder.decode, [records[i] for i in single], NO_RECORDS_FAULT)
        return {
            single[start + i]: time
            for start, part in parts
            for i, time in zip(part.good.tolist(), part.times.tolist(), strict=True)
        }


def held(record: LogRecord, time: float) -> Held:
    """A record with its event time, in a form that can be kept."""
    return Held(
        record.topic,
        record.partition,
        record.offset,
        time,
        record.timestamp,
        record.key,
        record.value,
        tuple((name, bytes(value or b"")) for name, value in record.headers or ()),  # Kafka allows null
    )
