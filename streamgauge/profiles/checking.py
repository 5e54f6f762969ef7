"""What a profile makes of records: accepted, imputed, ignored, rejected, and why; in words, with examples."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from streamgauge.profiles.checked_records import SHOWN, Parts, Where, about, of_tick
from streamgauge.profiles.decoder import Decoded, Decoder, Rejected
from streamgauge.profiles.imputing import Imputed, Imputer
from streamgauge.profiles.paths import find
from streamgauge.profiles.profile import Profile
from streamgauge.profiles.seen import look_at
from streamgauge.profiles.tags import PositionedRecord, TagDecoder, decoded_ticks
from streamgauge.stream.imputation import LastValues
from streamgauge.stream.pivot import Pivot

EXAMPLES = 3


def check(
    profile: Profile, records: Sequence[PositionedRecord], max_ahead_s: float = np.inf
) -> tuple[list[str], bool]:
    """Lines for people, and whether every record was accepted.

    Args:
        profile: as it is.
        records: of a file or a topic, each partition's in the order of its log.
        max_ahead_s: as `Decoder` has it.
    """
    parts: dict[int, list[PositionedRecord]] = {}
    for record in records:
        parts.setdefault(_partition(record), []).append(record)
    records = [record for part in parts.values() for record in part]
    look = _ticks if profile.long else _wide
    lines, filled, rejected, where = look(profile, list(parts.values()), max_ahead_s)
    lines += _rejected(rejected, records)
    lines += about(profile, filled, where)
    parsed = [r for r in map(_parsed, records) if r is not None]
    lines += _unlisted(profile, parsed)
    lines += _ignored(profile, parsed)
    return lines, not rejected


def _partition(record: PositionedRecord) -> int:
    """Of a record of a topic; a file is one."""
    return int(getattr(record, "partition", 0))


def place(record: PositionedRecord) -> str:
    """A line of a file, or partition and offset of a topic."""
    partition = getattr(record, "partition", None)
    return f"line {record.offset}" if partition is None else f"partition {partition}, offset {record.offset}"


def _wide(
    profile: Profile, parts: Sequence[Sequence[PositionedRecord]], max_ahead_s: float
) -> tuple[list[str], Parts, list[Rejected], Where]:
    """What becomes of records, by the partition, as a node reads them."""
    decoder = Decoder(profile, learn_labels=profile.label is not None, max_ahead_s=max_ahead_s)
    filler = Imputer(profile)
    whole = decoder.decode([record for part in parts for record in part])
    filled, begin = [], 0
    for part in parts:
        own = whole.only((whole.good >= begin) & (whole.good < begin + len(part)))
        filled.append((own, filler.impute(own, LastValues())))
        begin += len(part)
    records = [record for part in parts for record in part]

    def where(decoded: Decoded, row: int) -> str:
        return place(records[int(decoded.good[row])])

    return [f"{len(whole)} of {begin} records accepted"], filled, whole.rejected, where


def _ticks(
    profile: Profile, parts: Sequence[Sequence[PositionedRecord]], max_ahead_s: float
) -> tuple[list[str], Parts, list[Rejected], Where]:
    """What becomes of messages of one tag each, by the partition, as a node reads them."""
    decoder = TagDecoder(profile, learn_labels=profile.label is not None, max_ahead_s=max_ahead_s)
    filler = Imputer(profile)
    filled: list[tuple[Decoded, Imputed]] = []
    rejected: list[Rejected] = []
    dropped: list[str] = []
    taken = late = unknown = before = complete = 0
    for part in parts:
        tags, pivot = decoder.decode_tags(part), Pivot()
        ticks = pivot.take(tags.batch, profile.tick_rule)
        late += pivot.late
        taken += len(tags.batch.columns) - pivot.late
        ticks = ticks.joined(pivot.finish())
        complete += int(ticks.complete.sum())
        rejected += [Rejected(before + each.position, each.reason, each.detail) for each in tags.rejected]
        unknown += tags.unknown
        before += len(part)
        decoded = decoded_ticks(ticks, profile)
        imputed = filler.impute(decoded, LastValues())
        filled.append((decoded, imputed))
        dropped += _dropped(decoded, imputed, filler.names)
    lines = [
        f"{taken} of {before} messages taken into {sum(len(decoded) for decoded, _ in filled)} ticks; "
        f"{late} late, {unknown} of tags that the profile does not name",
        f"{complete} ticks complete, {len(dropped)} dropped because they lack too much",
        *(f"    {text}" for text in dropped[:EXAMPLES]),
    ]
    return lines, filled, rejected, of_tick


def _dropped(decoded: Decoded, filled: Imputed, names: Sequence[str]) -> Iterator[str]:
    for row in [] if filled.kept is None else np.flatnonzero(~filled.kept).tolist():
        lacks = [name for name, masked in zip(names, filled.masked[row].tolist(), strict=True) if masked]
        more = f" and {len(lacks) - SHOWN} more" if len(lacks) > SHOWN else ""
        yield f"{of_tick(decoded, row)}: lacks {', '.join(lacks[:SHOWN])}{more}"


def _rejected(rejected: Sequence[Rejected], records: Sequence[PositionedRecord]) -> Iterator[str]:
    """Reasons with counts; of each the most frequent explanations, with a record."""
    for reason, n in Counter(r.reason for r in rejected).most_common():
        yield f"rejected: {n} {reason}"
        of_it = [r for r in rejected if r.reason == reason]
        for detail, count in Counter(r.detail for r in of_it).most_common(EXAMPLES):
            first = next(r for r in of_it if r.detail == detail)
            times = f" ({count} times)" if count > 1 else ""
            yield f"    {place(records[first.position])}: {detail}{times}"


def _unlisted(profile: Profile, parsed: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for category in profile.categorical:
        if profile.long:
            tags = [r for r in parsed if find(r, profile.long.tag) == category.field]
            values = [find(r, profile.long.value) for r in tags]
        else:
            values = [find(r, category.field) for r in parsed]
        texts = [str(v).lower() if isinstance(v, bool) else str(v) for v in values if v is not None]
        unlisted = Counter(t for t in texts if t not in category.feature.categories)
        if unlisted:
            shown = ", ".join(f"{value[:60]} ({n})" for value, n in unlisted.most_common(SHOWN))
            yield f"other: {category.field} in {sum(unlisted.values())}: {shown}"


def _ignored(profile: Profile, parsed: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    ignored = [name for name in look_at(parsed) if name not in profile.message_fields]
    if ignored:
        yield f"ignored fields: {', '.join(ignored)}"
    if profile.long:
        known = {f.field for f in profile.numeric} | {f.field for f in profile.categorical}
        tags = Counter(str(find(r, profile.long.tag)) for r in parsed)
        if others := [f"{tag} ({n})" for tag, n in tags.most_common() if tag not in known]:
            yield f"ignored tags: {', '.join(others)}"
        if absent := sorted(known - tags.keys()):
            yield f"tags never seen: {', '.join(absent)}"
    elif parsed:
        seen = look_at(parsed)
        if absent := [name for name in profile.message_fields if name not in seen]:
            yield f"fields never seen: {', '.join(absent)}"


def _parsed(record: PositionedRecord) -> dict[str, Any] | None:
    try:
        parsed = json.loads(
            bytes(record.value or b"").decode("utf-8-sig", "replace"), parse_constant=lambda _: None
        )
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None
