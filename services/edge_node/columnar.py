"""From messages of many records to scores: Arrow streams beside JSON objects, in the order of the log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from services.edge_node.dead_letters import Refused
from services.edge_node.poison import NO_RECORDS_FAULT, bisect
from services.edge_node.scored import Crashed, Scored, ScoringSteps, refuse_systematic
from services.edge_node.scorer import Scorer
from services.edge_node.settings import EdgeSettings
from services.runtime.log import LogRecord
from services.runtime.logging import get_logger
from streamgauge.profiles.columnar import CONTENT_TYPE, ColumnarDecoded, ColumnarDecoder
from streamgauge.profiles.profile import Profile
from streamgauge.stream.context import PartitionContext

log = get_logger("edge.columnar")
CHUNK_BYTES = 4 << 20
"""Messages are decoded and scored together up to so many bytes: some 10,000 rows of 51 numbers."""


def is_columnar(record: LogRecord) -> bool:
    """Whether a message says that it is an Arrow stream."""
    return any(name == "content-type" and value == CONTENT_TYPE for name, value in record.headers)


class MixedSteps(ScoringSteps):
    """Decode, impute, encode and score messages of one record or of many."""

    def __init__(self, settings: EdgeSettings, profile: Profile) -> None:
        super().__init__(settings, profile)
        self._columnar = ColumnarDecoder(
            profile, learn_labels=settings.learn_labels, max_ahead_s=settings.max_ahead_s
        )

    def run(
        self, records: Sequence[LogRecord], context: PartitionContext, scorer: Scorer | None
    ) -> tuple[list[Scored], list[Crashed]]:
        """As of single records; a row that throws alone is among the `refused_rows` of its part."""
        if not any(record.headers for record in records):
            return super().run(records, context, scorer)
        scored: list[Scored] = []
        crashed: list[Crashed] = []
        for columnar, run in groupby(records, is_columnar):
            part = list(run)
            for chunk in _chunks(part) if columnar else [part]:
                work = self._messages if columnar else super().run
                more, bad = work(chunk, context, scorer)
                scored += more
                crashed += bad
        return scored, crashed

    def _messages(
        self, messages: Sequence[LogRecord], context: PartitionContext, scorer: Scorer | None
    ) -> tuple[list[Scored], list[Crashed]]:
        parts, failed = bisect(self._columnar.decode_messages, messages, NO_RECORDS_FAULT)
        scored = []
        for start, decoded in parts:
            scored += self._message_rows(messages[start:], decoded, context, scorer)
        crashed = [(messages[i], why) for i, why in failed]
        refuse_systematic(scored, crashed)
        return scored, crashed

    def _message_rows(
        self,
        messages: Sequence[LogRecord],
        decoded: ColumnarDecoded,
        context: PartitionContext,
        scorer: Scorer | None,
    ) -> list[Scored]:
        offsets = np.array([message.offset for message in messages], np.int64)[decoded.message]

        def work(rows: NDArray[np.int64]) -> Scored:
            part = decoded if len(rows) == len(decoded) else decoded.only(np.isin(np.arange(len(decoded)), rows))
            done = self._rows(messages, part, offsets[rows], context, scorer)
            return replace(done, rows=done.decoded.good)

        done, failed = bisect(work, np.arange(len(decoded)), NO_RECORDS_FAULT)
        scored = [part for _, part in done]
        refuse_systematic(scored, [(messages[int(decoded.message[i])], why) for i, why in failed])
        refused = [Refused(messages[r.message], r.reason, r.detail, r.row, r.value) for r in decoded.refused]
        for i, why in failed:
            message, row = int(decoded.message[i]), int(decoded.good[i])
            refused.append(Refused(messages[message], "crashed", why, row, decoded.row_as_json(message, row)))
            log.error("record set aside", position=refused[-1].position, why=why)
        if refused:
            scored.append(replace(self._nothing(context), refused_rows=refused))
        return scored

    def _nothing(self, context: PartitionContext) -> Scored:
        return self._rows((), self._columnar.decode_messages([]), np.empty(0, np.int64), context, None)


def _chunks(messages: Sequence[LogRecord]) -> Iterator[list[LogRecord]]:
    chunk: list[LogRecord] = []
    size = 0
    for message in messages:
        if chunk and size + len(message.value or b"") > CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(message)
        size += len(message.value or b"")
    if chunk:
        yield chunk
