"""What a profile makes of records: accepted, imputed, ignored, rejected, and why; in words, with examples."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from streamgauge.profiles.decoder import Decoded, Decoder, Rejected
from streamgauge.profiles.imputing import Imputer
from streamgauge.profiles.inferring import look_at
from streamgauge.profiles.paths import find
from streamgauge.profiles.profile import Profile
from streamgauge.profiles.tags import PositionedRecord, TagDecoder, decoded_ticks
from streamgauge.stream.imputation import LastValues
from streamgauge.stream.pivot import Pivot

EXAMPLES = 3
_VALUES = 5


def check(profile: Profile, records: Sequence[PositionedRecord]) -> tuple[list[str], bool]:
    """Lines for people, and whether every record was accepted.

    Args:
        profile: as it is.
        records: of one partition, in the order of its log.
    """
    if profile.long:
        lines, decoded, rejected = _ticks(profile, records)
    else:
        decoded = Decoder(profile).decode(records)
        rejected = decoded.rejected
        lines = [f"{len(decoded)} of {len(records)} records accepted"]
    lines += _rejected(rejected, records)
    lines += _imputed(profile, decoded)
    lines += _beyond(profile, decoded)
    lines += _entities(decoded)
    parsed = [r for r in map(_parsed, records) if r is not None]
    lines += _unlisted(profile, parsed)
    lines += _ignored(profile, parsed)
    return lines, not rejected


def _ticks(profile: Profile, records: Sequence[PositionedRecord]) -> tuple[list[str], Decoded, list[Rejected]]:
    tags, pivot = TagDecoder(profile).decode_tags(records), Pivot()
    ticks = pivot.take(tags.batch, profile.tick_rule)
    late = pivot.late
    ticks = ticks.joined(pivot.finish())
    decoded = decoded_ticks(ticks, profile)
    kept = Imputer(profile).impute(decoded, LastValues()).kept
    dropped = 0 if kept is None else int((~kept).sum())
    lines = [
        f"{len(tags.batch.columns) - late} of {len(records)} messages taken into {len(ticks)} ticks; "
        f"{late} late, {tags.unknown} of tags that the profile does not name",
        f"{int(ticks.complete.sum())} ticks complete, {dropped} dropped because they lack too much",
    ]
    return lines, decoded, tags.rejected


def _rejected(rejected: Sequence[Rejected], records: Sequence[PositionedRecord]) -> Iterator[str]:
    for reason, n in Counter(r.reason for r in rejected).most_common():
        yield f"rejected: {n} {reason}"
        for one in [r for r in rejected if r.reason == reason][:EXAMPLES]:
            yield f"    record {records[one.position].offset}: {one.detail}"


def _imputed(profile: Profile, decoded: Decoded) -> Iterator[str]:
    counts = Imputer(profile).impute(decoded, LastValues()).counts
    for (feature, rule), n in sorted(counts.items(), key=lambda item: -item[1]):
        if rule != "other":
            what = "masked" if rule == "mask" else f"imputed by {rule}"
            yield f"{what}: {feature} in {n} of {len(decoded)}"


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
