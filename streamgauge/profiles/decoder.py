"""Records to matrices, a batch at a time: one bad record never spoils its neighbours."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import InvalidRecordError
from streamgauge.names import Names
from streamgauge.profiles.columns import (
    MISSING,
    Bad,
    category_codes,
    codes_of,
    entities_of,
    labels_of,
    time_parser,
    times_of,
)
from streamgauge.profiles.paths import find
from streamgauge.profiles.profile import Profile
from streamgauge.profiles.record_reader import RecordReader, Row

Columns = Mapping[str, Sequence[Any]]
FLOAT32_MAX = float(np.finfo(np.float32).max)
_ABSENT = object()
MAX_CONTEXT_TEXT = 500
"""Characters of a context value copied into an alert."""


class SourceRecord(Protocol):
    """What a decoder needs of a record; kafka-python's own class fits."""

    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch."""

    @property
    def key(self) -> bytes | None:
        """Names the entity where the profile names no field for it."""

    @property
    def value(self) -> bytes | None:
        """A JSON object."""


class Rejected(NamedTuple):
    """A record for the dead letters; `position` is its index into the batch.

    `reason` is one of malformed-json, wrong-encoding, wrong-type, null-value, too-large, missing-time, bad-time,
    missing-entity, bad-entity, missing-field, too-many-missing, not-finite, in the long layout missing-tag, and
    of Arrow streams malformed-arrow, missing-column.
    """

    position: int
    reason: str
    detail: str


@dataclass(frozen=True)
class Decoded:
    """A decoded batch of n good records.

    Attributes:
        good: (n,) int64 index of each row into the batch given to `Decoder.decode`, rising.
        values: (n, numeric) float64, raw; NaN where missing.
        codes: (n, categorical) int64; -1 where missing, ``len(categories)`` for values not listed.
        times: (n,) float64 event time, seconds since the epoch.
        entities: n names.
        labels: (n,) float32; 0 normal, 1 abnormal, NaN without a label or where labels are not read.
        rejected: the others, by rising index.
    """

    good: NDArray[np.int64]
    values: NDArray[np.float64]
    codes: NDArray[np.int64]
    times: NDArray[np.float64]
    entities: Names
    labels: NDArray[np.float32]
    rejected: list[Rejected]
    _records: Sequence[SourceRecord] = field(repr=False)
    _context: tuple[str, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.good)

    def only(self, rows: NDArray[np.bool_]) -> Self:
        """These of the good rows, and all of the rejected ones."""
        return replace(
            self,
            good=self.good[rows],
            values=self.values[rows],
            codes=self.codes[rows],
            times=self.times[rows],
            entities=self.entities.only(rows),
            labels=self.labels[rows],
        )

    def context(self, row: int) -> dict[str, str | float | bool | None]:
        """The profile's context fields of one row, for its alert; parses the record again, so only on demand.

        Empty where Python's parser is less patient than the decoder (numbers of 5,000 digits, deep nesting).
        """
        if not self._context:
            return {}
        value = self._records[int(self.good[row])].value or b"{}"
        try:
            parsed = json.loads(bytes(value).decode("utf-8-sig", "replace"), parse_constant=lambda _: None)
            found = {name: find(parsed, name, _ABSENT) for name in self._context}
            return {name: plain_context(value) for name, value in found.items() if value is not _ABSENT}
        except (ValueError, RecursionError):
            return {}


def plain_context(value: Any) -> str | float | bool | None:
    """A context value as an alert carries it: short, and a number only where JSON and float32 hold it."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and abs(value) <= FLOAT32_MAX:
        return value
    return (value if isinstance(value, str) else json.dumps(value))[:MAX_CONTEXT_TEXT]


class Decoder:
    """Decodes batches of one profile's records. Keeps no state between batches.

    Args:
        profile: what the fields mean.
        learn_labels: read the label field; otherwise it is never looked at and all labels are NaN.
        max_record_bytes: longer values are rejected unread.
        max_ahead_s: an event time further than this after the message's own timestamp is rejected: believed, it
            would carry the watermark with it, and every record after it would count as late.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        learn_labels: bool = False,
        max_record_bytes: int = 1 << 20,
        max_ahead_s: float = np.inf,
    ) -> None:
        self.profile = profile
        self._max_ahead_s = max_ahead_s
        self._reader = RecordReader(profile, learn_labels, max_record_bytes)
        self._categorical = [(f.field, category_codes(f), len(f.feature.categories)) for f in profile.categorical]
        self._parse_time = time_parser(profile.time.format)
        self._label = profile.label if learn_labels else None
        self._required = np.array([f.missing.kind == "reject" for f in profile.numeric], bool)
        self._required_codes = np.array([f.missing.kind == "reject" for f in profile.categorical], bool)

    def decode(self, records: Sequence[SourceRecord]) -> Decoded:
        """Decode a batch; n good rows and the rejected ones are together all of `records`."""
        good, rows, rejected = self._read(records)
        sources = records if len(good) == len(records) else [records[i] for i in good]
        values, columns = self._matrix(rows), self._columns(rows)
        codes = self._codes(columns, len(rows))
        times, bad_times = self._times(columns, sources)
        name = self.profile.entity
        entities, bad_entities = entities_of(columns[name] if name else [source.key for source in sources])
        labels = self._labels(columns, len(rows))
        bad = self._bad_cells(values, codes) | bad_times | bad_entities
        index = np.array(good, np.int64)
        if bad:
            rejected = sorted(rejected + [Rejected(good[row], *why) for row, why in bad.items()])
            keep = np.array([row not in bad for row in range(len(good))], bool)
            index, values, codes, times, labels = index[keep], values[keep], codes[keep], times[keep], labels[keep]
            entities = entities.only(keep)
        return Decoded(index, values, codes, times, entities, labels, rejected, records, self.profile.context)

    def _read(self, records: Sequence[SourceRecord]) -> tuple[list[int], list[Row], list[Rejected]]:
        rows, odd = self._reader.read_batch([record.value for record in records])
        rejected: list[Rejected] = []
        for i in odd:
            try:
                # Of all before it, those that were not rejected stand in `rows`.
                rows.insert(i - len(rejected), self._reader.read_one(records[i].value))
            except InvalidRecordError as error:
                rejected.append(Rejected(i, error.reason, error.detail))
        bad = {each.position for each in rejected}
        return [i for i in range(len(records)) if i not in bad], rows, rejected

    def _matrix(self, rows: list[Row]) -> NDArray[np.float64]:
        """(n, numeric)."""
        cells = np.frombuffer(bytearray().join([numbers for numbers, _ in rows]), np.float64)
        return cells.reshape(len(rows), len(self.profile.numeric))

    def _columns(self, rows: list[Row]) -> Columns:
        """Values of each other field."""
        names = self._reader.others
        if not rows:
            return dict.fromkeys(names, ())
        return dict(zip(names, zip(*[others for _, others in rows], strict=True), strict=True))

    def _codes(self, columns: Columns, n: int) -> NDArray[np.int64]:
        codes = np.empty((n, len(self._categorical)), np.int64)
        for j, (field_, known, other) in enumerate(self._categorical):
            codes[:, j] = codes_of(columns[field_], known, other)
        return codes

    def _times(self, columns: Columns, sources: Sequence[SourceRecord]) -> tuple[NDArray[np.float64], Bad]:
        if self.profile.time.field:
            times, bad = times_of(columns[self.profile.time.field], self._parse_time)
            return times, bad | self._ahead(times, sources)
        column = [None if source.timestamp < 0 else source.timestamp for source in sources]
        return times_of(column, _from_milliseconds)

    def _ahead(self, times: NDArray[np.float64], sources: Sequence[SourceRecord]) -> Bad:
        if not np.isfinite(self._max_ahead_s):
            return Bad()
        return self._dated_ahead(times, np.fromiter((s.timestamp for s in sources), np.float64, len(sources)))

    def _dated_ahead(self, times: NDArray[np.float64], stamps_ms: NDArray[np.float64]) -> Bad:
        """Rows dated too long after their message, whose timestamp is below 0 where it has none."""
        ahead = np.where(stamps_ms >= 0, times - stamps_ms / 1000.0, 0.0)
        return {
            row: (
                "bad-time",
                f"{ahead[row]:.0f} s after the message's own timestamp; allowed: {self._max_ahead_s:g}",
            )
            for row in np.flatnonzero(ahead > self._max_ahead_s).tolist()
        }

    def _labels(self, columns: Columns, n: int) -> NDArray[np.float32]:
        if self._label is None:
            return np.full(n, np.nan, np.float32)
        return labels_of(columns[self._label.field], self._label)

    def _bad_cells(self, values: NDArray[np.float64], codes: NDArray[np.int64]) -> Bad:
        """Rows with a number beyond float32, a required field missing, or too many missing."""
        whole = not values.size or (values.min() >= -FLOAT32_MAX and values.max() <= FLOAT32_MAX)  # no NaN either
        absent_codes = codes == MISSING
        if whole and not absent_codes.any():
            return {}
        absent, huge = np.isnan(values), np.abs(values) > FLOAT32_MAX
        profile, bad = self.profile, Bad()
        share = np.concatenate([absent, absent_codes], axis=1).mean(axis=1)
        for row in np.flatnonzero(share > profile.max_missing_share).tolist():
            limit = profile.max_missing_share
            bad[row] = ("too-many-missing", f"{share[row]:.0%} of the features are missing; allowed: {limit:.0%}")
        for row, j in np.argwhere(huge).tolist():
            bad[row] = ("not-finite", f"{profile.numeric[j].field!r} is beyond the range of float32")
        for row, j in np.argwhere(absent & self._required).tolist():
            bad[row] = ("missing-field", f"{profile.numeric[j].field!r} is missing and its rule is 'reject'")
        for row, j in np.argwhere(absent_codes & self._required_codes).tolist():
            bad[row] = ("missing-field", f"{profile.categorical[j].field!r} is missing and its rule is 'reject'")
        return bad


def _from_milliseconds(value: Any) -> float:
    return float(value) / 1000.0
