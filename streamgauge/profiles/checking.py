"""What a profile makes of records: accepted, imputed, ignored, rejected, and why; in words, with examples."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from streamgauge.profiles.decoder import Decoded, Decoder, Rejected
from streamgauge.profiles.imputing import Imputed, Imputer
from streamgauge.profiles.paths import find
from streamgauge.profiles.profile import Profile
from streamgauge.profiles.seen import look_at
from streamgauge.profiles.tags import PositionedRecord, TagDecoder, decoded_ticks
from streamgauge.stream.imputation import LastValues
from streamgauge.stream.pivot import Pivot
from streamgauge.stream.ticks import Ticks

Counts = dict[tuple[str, str], int]
EXAMPLES = 3
_VALUES = 5


def check(profile: Profile, records: Sequence[PositionedRecord]) -> tuple[list[str], bool]:
    """Lines for people, and whether every record was accepted.

    Args:
        profile: as it is.
        records: of a file or a topic, each partition's in the order of its log.
    """
    parts: dict[int, list[PositionedRecord]] = {}
    for record in records:
        parts.setdefault(_partition(record), []).append(record)
    records = [record for part in parts.values() for record in part]
    if profile.long:
        lines, decoded, rejected, imputed = _ticks(profile, list(parts.values()))
    else:
        decoded = Decoder(profile).decode(records)
        rejected = decoded.rejected
        lines = [f"{len(decoded)} of {len(records)} records accepted"]
        where = np.array([_partition(records[i]) for i in decoded.good.tolist()])
        filler = Imputer(profile)
        imputed = [filler.impute(decoded.only(where == p), LastValues()).counts for p in parts]
    lines += _rejected(rejected, records)
    lines += about(profile, decoded, imputed)
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


def _ticks(
    profile: Profile, parts: Sequence[Sequence[PositionedRecord]]
) -> tuple[list[str], Decoded, list[Rejected], list[Counts]]:
    """What becomes of messages of one tag each, by the partition, as a node reads them."""
    decoder, filler = TagDecoder(profile), Imputer(profile)
    ticks: list[Ticks] = []
    rejected: list[Rejected] = []
    imputed: list[Counts] = []
    dropped: list[str] = []
    taken = late = unknown = before = 0
    for part in parts:
        tags, pivot = decoder.decode_tags(part), Pivot()
        first = pivot.take(tags.batch, profile.tick_rule)
        late += pivot.late
        taken += len(tags.batch.columns) - pivot.late
        ticks.append(first.joined(pivot.finish()))
        rejected += [Rejected(before + each.position, each.reason, each.detail) for each in tags.rejected]
        unknown += tags.unknown
        before += len(part)
        decoded = decoded_ticks(ticks[-1], profile)
        filled = filler.impute(decoded, LastValues())
        imputed.append(filled.counts)
        dropped += _dropped(decoded, filled, filler.names)
    whole = ticks[0]
    for more in ticks[1:]:
        whole = whole.joined(more)
    lines = [
        f"{taken} of {before} messages taken into {len(whole)} ticks; "
        f"{late} late, {unknown} of tags that the profile does not name",
        f"{int(whole.complete.sum())} ticks complete, {len(dropped)} dropped because they lack too much",
        *(f"    {text}" for text in dropped[:EXAMPLES]),
    ]
    return lines, decoded_ticks(whole, profile), rejected, imputed


def _dropped(decoded: Decoded, filled: Imputed, names: Sequence[str]) -> Iterator[str]:
    for row in [] if filled.kept is None else np.flatnonzero(~filled.kept).tolist():
        lacks = [name for name, masked in zip(names, filled.masked[row].tolist(), strict=True) if masked]
        more = f" and {len(lacks) - _VALUES} more" if len(lacks) > _VALUES else ""
        moment = np.datetime64(round(float(decoded.times[row]) * 1000), "ms")
        yield f"{decoded.entities[row]} at {moment}: lacks {', '.join(lacks[:_VALUES])}{more}"


def _rejected(rejected: Sequence[Rejected], records: Sequence[PositionedRecord]) -> Iterator[str]:
    """Reasons with counts; of each the most frequent explanations, with a record."""
    for reason, n in Counter(r.reason for r in rejected).most_common():
        yield f"rejected: {n} {reason}"
        of_it = [r for r in rejected if r.reason == reason]
        for detail, count in Counter(r.detail for r in of_it).most_common(EXAMPLES):
            first = next(r for r in of_it if r.detail == detail)
            times = f" ({count} times)" if count > 1 else ""
            yield f"    {place(records[first.position])}: {detail}{times}"


def about(profile: Profile, decoded: Decoded, imputed: Sequence[Counts]) -> Iterator[str]:
    """What was filled in and clipped of accepted records, and whose they are."""
    yield from _imputed(imputed, len(decoded))
    yield from _beyond(profile, decoded)
    yield from _entities(decoded)


def _imputed(imputed: Sequence[Counts], n: int) -> Iterator[str]:
    counts: Counter[tuple[str, str]] = Counter()
    for part in imputed:
        counts.update(part)
    for (feature, rule), cells in counts.most_common():
        if rule != "other":
            what = "masked" if rule == "mask" else f"imputed by {rule}"
            yield f"{what}: {feature} in {cells} of {n}"


def _beyond(profile: Profile, decoded: Decoded) -> Iterator[str]:
    for j, numeric in enumerate(profile.numeric):
        column = decoded.values[:, j]
        low, high = numeric.feature.minimum, numeric.feature.maximum
        n = int(((column < low) | (column > high)).sum())
        if n:
            seen = f"seen {np.nanmin(column):g} to {np.nanmax(column):g}, allowed {low:g} to {high:g}"
            yield f"clipped: {numeric.field} in {n} of {len(decoded)}; {seen}"


def _entities(decoded: Decoded) -> Iterator[str]:
    if len(decoded):
        counts = Counter(decoded.entities)
        shown = ", ".join(f"{name} ({n})" for name, n in counts.most_common(_VALUES))
        first, last = (np.datetime64(round(t * 1000), "ms") for t in (decoded.times.min(), decoded.times.max()))
        yield f"entities: {len(counts)}: {shown}"
        yield f"event time: {first} to {last} UTC"


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
            shown = ", ".join(f"{value[:60]} ({n})" for value, n in unlisted.most_common(_VALUES))
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
