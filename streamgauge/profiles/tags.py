"""Messages of one tag each: bytes to tag batches, and closed ticks to decoded records (ADR 035)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from streamgauge.names import Names
from streamgauge.profiles.columns import MISSING, Bad, category_codes, codes_of, entities_of
from streamgauge.profiles.decoder import FLOAT32_MAX, Decoded, Decoder, Rejected, SourceRecord
from streamgauge.profiles.profile import Profile
from streamgauge.stream.pivot import Pivot
from streamgauge.stream.ticks import TagBatch, Ticks

_UNKNOWN = -1


class PositionedRecord(SourceRecord, Protocol):
    """A record that knows its position in the log; kafka-python's own class fits."""

    @property
    def offset(self) -> int:
        """Position in the log."""


@dataclass(frozen=True)
class Tags:
    """A decoded batch of messages.

    Attributes:
        batch: the good ones of tags that the profile names; its `index` is each one's place in the batch decoded.
        rejected: bad ones, by rising index; beside the decoder's reasons ``missing-tag``.
        unknown: number of messages of other tags, which are ignored whatever else they hold.
    """

    batch: TagBatch
    rejected: list[Rejected]
    unknown: int


class TagDecoder(Decoder):
    """Decodes messages of one tag each; of a profile with the long layout. Keeps no state between batches."""

    def __init__(
        self,
        profile: Profile,
        *,
        learn_labels: bool = False,
        max_record_bytes: int = 1 << 20,
        max_ahead_s: float = np.inf,
    ) -> None:
        super().__init__(
            profile, learn_labels=learn_labels, max_record_bytes=max_record_bytes, max_ahead_s=max_ahead_s
        )
        assert profile.long is not None
        self._tag, self._value, self._numeric = profile.long.tag, profile.long.value, len(profile.numeric)
        self._known: dict[Any, int] = {}
        self._names = [f.field for f in profile.numeric] + [f.field for f in profile.categorical]
        for j, name in enumerate(self._names):
            self._known[name] = j
            if name.isdecimal() and str(int(name)) == name:
                self._known[int(name)] = j
        self._category_codes = [category_codes(field) for field in profile.categorical]

    def decode_tags(self, records: Sequence[PositionedRecord]) -> Tags:
        """Decode a batch; what is neither in it nor rejected is of unknown tags."""
        good, rows, rejected = self._read(records)
        sources = records if len(good) == len(records) else [records[i] for i in good]
        fields = self._columns(rows)
        times, bad = self._times(fields, sources)
        name = self.profile.entity
        entities, bad_entities = entities_of(fields[name] if name else [source.key for source in sources])
        columns, values, bad_values = self._cells(fields[self._tag], fields[self._value])
        bad |= bad_entities | bad_values
        unknown = columns.count(_UNKNOWN) - sum(why[0] == "missing-tag" for why in bad.values())
        rejected += [Rejected(good[row], *why) for row, why in bad.items() if self._counts(columns[row], why)]
        keep = [row for row, column in enumerate(columns) if column != _UNKNOWN and row not in bad]
        labels = self._labels(fields, len(rows))
        raw = [record.value for record in sources] if self.profile.context else None
        whole = len(keep) == len(columns)

        def kept(items: Sequence[Any]) -> Sequence[Any]:
            return items if whole else [items[row] for row in keep]

        batch = TagBatch(
            times=times if whole else times[keep],
            entities=kept(list(entities)),
            columns=kept(columns),
            values=kept(values),
            labels=labels if whole else labels[keep],
            offsets=np.array([record.offset for record in kept(sources)], np.int64),
            index=np.array(kept(good), np.int64),
            raw=None if raw is None else kept(raw),
        )
        return Tags(batch, sorted(rejected), unknown)

    @staticmethod
    def _counts(column: int, why: tuple[str, str]) -> bool:
        """Whether a bad message is rejected; those of unknown tags are not."""
        return column != _UNKNOWN or why[0] == "missing-tag"

    def _cells(self, tags: Sequence[Any], values: Sequence[Any]) -> tuple[list[int], list[float], Bad]:
        """The column of each message, its number or code, and which values cannot be."""
        known, width = self._known, self._numeric
        columns = [known.get(tag, _UNKNOWN) for tag in tags]
        cells: list[float] = []
        bad: Bad = {}
        for row, (column, value) in enumerate(zip(columns, values, strict=True)):
            if column == _UNKNOWN:
                if tags[row] is None or tags[row] == "":
                    bad[row] = ("missing-tag", f"no tag in {self._tag!r}")
                cells.append(math.nan)
            elif value is None:
                cells.append(math.nan)
            elif column >= width:
                cells.append(self._code(row, column, value, bad))
            elif type(value) is float or type(value) is int:
                if not -FLOAT32_MAX <= value <= FLOAT32_MAX:
                    bad[row] = ("not-finite", f"tag {self._names[column]!r} is beyond the range of float32")
                    value = math.nan
                cells.append(float(value))
            else:
                bad[row] = self._wrong(column, value, "a number")
                cells.append(math.nan)
        return columns, cells, bad

    def _code(self, row: int, column: int, value: Any, bad: Bad) -> float:
        if not isinstance(value, str | int):
            bad[row] = self._wrong(column, value, "a category")
            return math.nan
        field = column - self._numeric
        other = len(self.profile.categorical[field].feature.categories)
        return float(codes_of([value], self._category_codes[field], other)[0])

    def _wrong(self, column: int, value: Any, expected: str) -> tuple[str, str]:
        return "wrong-type", f"tag {self._names[column]!r} is {str(value)[:60]!r}; expected {expected}"


class _Kept(NamedTuple):
    """The last message of a tick, of which only the context fields are asked."""

    value: bytes | None
    key: bytes | None = None
    timestamp: int = -1


def decoded_ticks(ticks: Ticks, profile: Profile) -> Decoded:
    """Closed ticks as decoded records; `Decoded.good` counts the ticks."""
    width = len(profile.numeric)
    codes = ticks.values[:, width:]
    return Decoded(
        good=np.arange(len(ticks)),
        values=ticks.values[:, :width],
        codes=np.where(np.isnan(codes), MISSING, codes).astype(np.int64),
        times=ticks.times,
        entities=Names.of(ticks.entities),
        labels=ticks.labels,
        rejected=[],
        _records=[_Kept(raw) for raw in ticks.raw],
        _context=profile.context,
    )


def pivoted(records: Sequence[PositionedRecord], decoder: TagDecoder) -> tuple[Decoded, list[Rejected]]:
    """Records of all messages of one partition at once, to the last open tick, and the rejected messages.

    Rows stand in the order in which their ticks were closed. What a live node makes of the same log, but for the
    ticks that are open at its end.
    """
    tags, pivot = decoder.decode_tags(records), Pivot()
    taken = pivot.take(tags.batch, decoder.profile.tick_rule)
    return decoded_ticks(taken.joined(pivot.finish()), decoder.profile), tags.rejected
