"""Messages that are Arrow streams of many records each, decoded column by column.

A column's name is the profile's JSON field; the same records as JSON objects give the same rows, counts and
rejections. What is wrong with the schema refuses the message, what is wrong with a cell its row only. Beyond what
JSON holds, a time may be a timestamp and a text dictionary-encoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import InvalidRecordError
from streamgauge.names import Names
from streamgauge.profiles.arrow_reader import joined, read_stream
from streamgauge.profiles.arrow_rows import finite, indices, plain_cells, rows_as_json, written_out
from streamgauge.profiles.arrow_schema import (
    ColumnPlan,
    SchemaReader,
    encoded_texts,
    is_dictionary,
    is_floating,
    is_integer,
    is_timestamp,
)
from streamgauge.profiles.columns import LATEST_S, MISSING, Bad, codes_of, entities_of, labels_of, times_of
from streamgauge.profiles.decoder import Decoded, Decoder, SourceRecord, plain_context
from streamgauge.profiles.fields import UNIX
from streamgauge.profiles.profile import Profile

CONTENT_TYPE = b"application/vnd.apache.arrow.stream"
MAX_MESSAGE_BYTES = 1 << 24
MAX_ROWS = 1 << 16
_SCHEMAS = 8
_PER_SECOND = {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}


class RefusedRow(NamedTuple):
    """A row, or a whole message, for the dead letters.

    Attributes:
        message: index into the messages.
        row: of the message; None: all of it.
        reason, detail: as `streamgauge.profiles.decoder.Rejected` has them, and malformed-arrow, missing-column.
        value: the row as a JSON object; None for a whole message.
    """

    message: int
    row: int | None
    reason: str
    detail: str
    value: bytes | None


@dataclass(frozen=True)
class ColumnarDecoded(Decoded):
    """The good rows of some messages, in order; `good` is the row within its message.

    Attributes:
        message: (n,) int64 index of each row's message.
        refused: the others, by message and row; `rejected` stays empty.
    """

    message: NDArray[np.int64] = field(kw_only=True)
    refused: list[RefusedRow] = field(kw_only=True)
    _batches: Sequence[Any] = field(repr=False, kw_only=True)

    def only(self, rows: NDArray[np.bool_]) -> Self:
        """These of the good rows; nothing is refused twice."""
        return replace(super().only(rows), message=self.message[rows])

    def context(self, row: int) -> dict[str, str | float | bool | None]:
        """The profile's context fields of one row, for its alert; a column that is not flat has none."""
        batch, at = self._batches[int(self.message[row])], int(self.good[row])
        known = [name for name in self._context if name in batch.schema.names]
        cells = {name: plain_cells(batch.column(name).slice(at, 1)) for name in known}
        return {name: plain_context(cell[0]) for name, cell in cells.items() if cell is not None}

    def row_as_json(self, message: int, row: int) -> bytes:
        """Any row of a readable message as a JSON object."""
        return rows_as_json(self._batches[message], [row])[0]


class ColumnarDecoder(Decoder):
    """Decodes Arrow streams of one profile's records. Keeps no state between messages.

    Args:
        profile: what the columns mean.
        learn_labels: read the label column.
        max_message_bytes, max_rows: a message of more is refused unread.
        max_ahead_s: as `Decoder` has it.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        learn_labels: bool = False,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        max_rows: int = MAX_ROWS,
        max_ahead_s: float = np.inf,
    ) -> None:
        super().__init__(profile, learn_labels=learn_labels, max_ahead_s=max_ahead_s)
        self._limits = max_message_bytes, max_rows
        self._of_message = profile.entity is None or profile.time.field is None
        self._schemas = SchemaReader(profile, learn_labels)
        self._plans: list[ColumnPlan] = []
        """Of schemas that were found right, the newest first: a stream seldom has more than one."""

    def decode_messages(self, records: Sequence[SourceRecord]) -> ColumnarDecoded:
        """Decode messages; every row of every readable one is good or refused.

        Neighbours of one schema are decoded together, which costs half of decoding them one by one.

        Raises:
            StateError: pyarrow is not installed.
        """
        batches: list[Any] = []
        plans: list[ColumnPlan | None] = []
        refused: list[RefusedRow] = []
        for k, record in enumerate(records):
            batch, plan = None, None
            try:
                batch, plan = self._readable(record)
            except InvalidRecordError as error:
                refused.append(RefusedRow(k, None, error.reason, error.detail, None))
            batches.append(batch)
            plans.append(plan)
        parts, messages = [self._empty()], [np.empty(0, np.int64)]
        for plan, chosen in _runs(plans):
            part, message, bad = self._decoded(plan, [batches[k] for k in chosen], [records[k] for k in chosen])
            parts.append(part)
            messages.append(np.array(chosen, np.int64)[message])
            refused += [row._replace(message=chosen[row.message]) for row in bad]
        return ColumnarDecoded(
            _stacked([part.good for part in parts]),
            _stacked([part.values for part in parts]),
            _stacked([part.codes for part in parts]),
            _stacked([part.times for part in parts]),
            Names.joined([part.entities for part in parts if len(part)] or [parts[0].entities]),
            _stacked([part.labels for part in parts]),
            [],
            records,
            self.profile.context,
            message=_stacked(messages),
            refused=sorted(refused, key=lambda row: (row.message, row.row or 0)),
            _batches=batches,
        )

    def _readable(self, record: SourceRecord) -> tuple[Any, ColumnPlan]:
        """The message's rows and their columns, after all that concerns the message as a whole was checked."""
        batch, (most, _) = read_stream(record.value, *self._limits), self._limits
        plan = next((known for known in self._plans if known.schema == batch.schema), None)
        texts = encoded_texts(batch.schema) if plan is None else plan.texts
        if (size := written_out(batch, texts)) > most:
            raise InvalidRecordError("too-large", f"{size} bytes of text written out; the limit is {most}")
        if plan is None:
            plan = self._schemas.plan(batch.schema)
            self._plans = [plan, *self._plans[: _SCHEMAS - 1]]
        if self.profile.entity is None:
            _raise_first(entities_of([record.key])[1])
        if self.profile.time.field is None:
            _raise_first(self._times({}, [record])[1])
        return batch, plan

    def _empty(self) -> Decoded:
        width, categorical = len(self.profile.numeric), len(self._categorical)
        return Decoded(
            np.empty(0, np.int64),
            np.empty((0, width)),
            np.empty((0, categorical), np.int64),
            np.empty(0),
            Names.of([]),
            np.empty(0, np.float32),
            [],
            (),
            (),
        )

    def _decoded(
        self, plan: ColumnPlan, batches: Sequence[Any], records: Sequence[SourceRecord]
    ) -> tuple[Decoded, NDArray[np.int64], list[RefusedRow]]:
        """The good rows of messages of one schema, the message of each, and the other rows."""
        sizes = [batch.num_rows for batch in batches]
        message = np.repeat(np.arange(len(batches)), sizes)
        index = np.arange(len(message)) - np.repeat(np.cumsum([0, *sizes[:-1]]), sizes)
        sources = [records[k] for k in message.tolist()] if self._of_message else []
        few = [batch.select(plan.others) for batch in batches]
        batch = joined(few, few[0].schema)
        values, codes = numbers(batches, plan), self._category_codes(batch, len(message))
        stamps = np.array([record.timestamp for record in records], np.float64)[message]
        times, bad_times = self._row_times(batch, sources, stamps)
        entities, bad_entities = self._entities(batch, sources)
        labels = self._row_labels(batch, len(message))
        bad = self._bad_cells(values, codes) | bad_times | bad_entities
        decoded = Decoded(index, values, codes, times, entities, labels, [], (), ())
        if not bad:
            return decoded, message, []
        rows, keep = np.array(sorted(bad), np.int64), np.ones(len(index), bool)
        keep[rows] = False
        refused = []
        for k in np.unique(message[rows]).tolist():
            mine = rows[message[rows] == k]
            shown = rows_as_json(batches[k], index[mine].tolist())
            refused += [
                RefusedRow(k, int(index[row]), *bad[row], value)
                for row, value in zip(mine.tolist(), shown, strict=True)
            ]
        return decoded.only(keep), message[keep], refused

    def _category_codes(self, batch: Any, n: int) -> NDArray[np.int64]:
        out = np.full((n, len(self._categorical)), MISSING, np.int64)
        for j, (name, known, other) in enumerate(self._categorical):
            if (column := _column(batch, name)) is not None:
                distinct, place = _distinct(column)
                codes = np.array(codes_of(distinct, known, other), np.int64)
                out[:, j] = codes[place]
        return out

    def _row_times(
        self, batch: Any, sources: Sequence[SourceRecord], stamps: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], Bad]:
        if self.profile.time.field is None:
            return self._times({}, sources)
        times, bad = self._column_times(batch.column(self.profile.time.field))
        return times, bad | self._dated_ahead(times, stamps)

    def _column_times(self, column: Any) -> tuple[NDArray[np.float64], Bad]:
        kind, format_ = column.type, self.profile.time.format
        if is_timestamp(kind):
            times = column.cast("int64").to_numpy(zero_copy_only=False) / _PER_SECOND[kind.unit]
        elif (is_integer(kind) or is_floating(kind)) and format_ in UNIX:
            times = column.to_numpy(zero_copy_only=False).astype(np.float64) / UNIX[format_]
        else:
            return times_of([finite(value) for value in column.to_pylist()], self._parse_time)
        odd = np.flatnonzero(~((times > 0) & (times < LATEST_S)))
        shown = plain_cells(column.take(indices(odd.tolist()))) or []
        why = {
            row: ("missing-time", "no event time")
            if value is None
            else ("bad-time", f"{str(value)[:60]!r} is not a time of the profile's format after 1970, before 2100")
            for row, value in zip(odd.tolist(), shown, strict=True)
        }
        return times, why

    def _entities(self, batch: Any, sources: Sequence[SourceRecord]) -> tuple[Names, Bad]:
        if self.profile.entity is None:
            return entities_of([source.key for source in sources])
        distinct, place = _distinct(batch.column(self.profile.entity))
        names, bad = entities_of(distinct)
        wrong = np.flatnonzero(np.isin(place, list(bad))).tolist() if bad else []
        return names.only(place), {row: bad[int(place[row])] for row in wrong}

    def _row_labels(self, batch: Any, n: int) -> NDArray[np.float32]:
        column = _column(batch, self._label.field) if self._label is not None else None
        if column is None or self._label is None:
            return np.full(n, np.nan, np.float32)
        distinct, place = _distinct(column)
        return labels_of([finite(value) for value in distinct], self._label)[place]


def numbers(batches: Sequence[Any], plan: ColumnPlan) -> NDArray[np.float64]:
    """(n, numeric) of all rows; NaN where null, not finite or without a column."""
    out = np.empty((sum(batch.num_rows for batch in batches), len(plan.numeric)))
    at = 0
    for batch in batches:
        part = out[at : at + batch.num_rows]
        at += batch.num_rows
        if plan.alike and len(part):
            # Column by column into the rows of one message at a time, which stay in the processor's cache.
            part[:] = batch.select(plan.numeric).to_tensor(null_to_nan=True, row_major=False).to_numpy()
            continue
        for j, place in enumerate(plan.numeric):
            part[:, j] = np.nan if place < 0 else batch.column(place).to_numpy(zero_copy_only=False)
    if out.size and not (np.isfinite(out.min()) and np.isfinite(out.max())):
        out[np.isinf(out)] = np.nan
    return out


def _column(batch: Any, name: str) -> Any | None:
    at = batch.schema.get_field_index(name)
    return batch.column(at) if at >= 0 else None


def _distinct(column: Any) -> tuple[list[Any], NDArray[np.int64]]:
    """The distinct values of a column, None for null, and (n,) where each row's value stands in them.

    A dictionary may hold more than the rows use; that is left out.
    """
    encoded = column if is_dictionary(column.type) else column.dictionary_encode()
    values = [*encoded.dictionary.to_pylist(), None]
    indices = encoded.indices
    if encoded.null_count:  # the number that stands for null may be more than the indices' own type holds
        indices = indices.cast("int64").fill_null(len(values) - 1)
    place = indices.to_numpy(zero_copy_only=False).astype(np.int64)
    used = np.flatnonzero(np.bincount(place, minlength=len(values)))
    compact = np.zeros(len(values), np.int64)
    compact[used] = np.arange(len(used))
    return [values[k] for k in used.tolist()], compact[place]


def _stacked(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Parts as one; the first is empty and gives shape and type."""
    return parts[1] if len(parts) == 2 else np.concatenate(parts)


def _runs(plans: Sequence[ColumnPlan | None]) -> Iterator[tuple[ColumnPlan, list[int]]]:
    """Neighbours of one schema; messages that cannot be read have none and part nobody."""
    readable = [(k, plan) for k, plan in enumerate(plans) if plan is not None]
    for _, run in groupby(readable, lambda each: id(each[1])):
        members = list(run)
        yield members[0][1], [k for k, _ in members]


def _raise_first(bad: Bad) -> None:
    for why in bad.values():
        raise InvalidRecordError(*why)
