"""Unknown fields as tables of a profile, with what was seen; or why one can be no feature."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from streamgauge.features import LARGEST
from streamgauge.profiles.decoder import FLOAT32_MAX
from streamgauge.profiles.loaders.csv_file import is_number
from streamgauge.profiles.paths import ROOT, find
from streamgauge.profiles.roles import MAX_CATEGORIES
from streamgauge.profiles.seen import MOST_CODES, Seen, words

_CODE_WORDS = {"code", "type", "state", "status", "mode", "protocol", "proto", "kind", "id", "class", "category"}


def useless(seen: Seen) -> str | None:
    """Why a field is no feature; None if it may be one."""
    if not seen.nameable:
        return "cannot be named: no name, a name that begins with $., or a key with a dot within an object"
    if not seen.present:
        return "always null"
    if seen.kind == "array":
        objects = any(isinstance(item, Mapping) for value in seen.examples[:50] for item in value)
        return "holds arrays" + (" of objects: take them apart, one a message" if objects else "")
    if seen.kind == "object":
        return "holds empty objects"
    if seen.kind == "mixed":
        return "holds " + ", ".join(f"{k} ({c})" for k, c in seen.kinds.most_common())
    if len(seen.values) == 1:
        return f"constant: {plain(next(iter(seen.values)))[:60]}"
    return _useless_number(seen) if seen.kind == "number" else _useless_text(seen)


def _useless_number(seen: Seen) -> str | None:
    if max(abs(seen.low), abs(seen.high)) > FLOAT32_MAX:
        return f"numbers up to {max(seen.high, -seen.low):g}, beyond 32-bit floats"
    unique = len(seen.values) == seen.present
    if unique and seen.whole and seen.rising and seen.present >= 10:
        return "like an id or a counter: whole numbers, all different, rising"
    return None


def _useless_text(seen: Seen) -> str | None:
    if len(seen.values) > MOST_CODES and all(map(is_number, seen.values)):
        return "numbers in quotes: a number must be sent without them"
    if seen_like_ids(seen):
        return f"like an id: {len(seen.values)} different texts in {seen.present} records"
    if len(seen.values) > MAX_CATEGORIES:
        return f"{len(seen.values)} different texts are too many for categories"
    return None


def seen_like_ids(seen: Seen) -> bool:
    """Texts that hardly ever come twice."""
    return seen.kind == "text" and len(seen.values) > seen.present / 2 and seen.present >= 10


def table(
    field: str, seen: Seen, n: int, name: str | None, notes: Sequence[str] = (), unit: str = ""
) -> list[str]:
    """Lines of a field's table.

    Args:
        field: as the profile names it.
        seen: what it showed.
        n: records, of which it may lack in some.
        name: canonical name; None: as the field.
        notes: what a person should check.
        unit: of a numeric field.
    """
    missing = n - seen.present - seen.odd.total()
    absent = f", missing in {missing} of {n}" if missing else ""
    common = [f"field = {quoted(field)}", *([f"name = {quoted(name)}"] if name else [])]
    if seen.kind != "number":
        counts = ", ".join(f"{v} ({c})" for v, c in seen.values.most_common())
        values = ", ".join(quoted(v) for v in sorted(seen.values) if v != "other")
        head = ["[[categorical]]", f"# {plain(counts)[:1000]}{absent}", *notes]
        return [*head, *common, f"categories = [{values}]"]
    low, high = value_range(seen)
    what = "" if (low, high) == (0, 1) else "; check the range: what the sensor can show"
    head = ["[[numeric]]", f"# seen {seen.low:g} to {seen.high:g}{absent}{what}"]
    if seen.whole and 2 < len(seen.values) <= MOST_CODES and _CODE_WORDS & set(words(field)):
        counts = ", ".join(f"{v} ({c})" for v, c in seen.values.most_common())
        head.append(f"# check: {counts}: a code rather than a measure? Then make it a [[categorical]]")
    log = low >= 0 and seen.high > 1000 * max(1.0, seen.low)
    more = [f"unit = {quoted(unit)}"] if unit else []
    more += ['transform = "log1p"'] if log else []
    return [*head, *notes, *common, *more, f"min = {_shortest(low)}", f"max = {_shortest(high)}"]


def value_range(seen: Seen) -> tuple[float, float]:
    """Half as wide again as what was seen, 0 where nothing was below; 0 to 1 for switches and shares."""
    if seen.low >= 0 and seen.high <= 1 and (seen.low == 0 or seen.high == 1):
        return 0.0, 1.0
    width = seen.high - seen.low
    low, high = seen.low - width / 4, seen.high + width / 4
    if seen.low >= 0:
        low = max(0.0, low)
    digits = 1 - math.floor(math.log10(high - low))  # two digits of the width, outward
    low, high = math.floor(low * 10.0**digits) / 10.0**digits, math.ceil(high * 10.0**digits) / 10.0**digits
    if seen.whole:
        low, high = float(math.floor(low)), float(math.ceil(high))
    low, high = max(low, -LARGEST), min(high, LARGEST)
    return (low, high) if low < high else (seen.low - abs(seen.low) / 4, seen.high + abs(seen.high) / 4)


def _shortest(number: float) -> str:
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def canonical_names(fields: Sequence[str]) -> dict[str, str]:
    """Short names for fields that are paths: the last keys of each, as many as tell it from the others."""
    paths = {f: f.removeprefix(ROOT).split(".") for f in fields if f.startswith(ROOT)}
    taken = {f for f in fields if f not in paths}
    names = {}
    for field, keys in paths.items():
        for length in range(1, len(keys) + 1):
            name = ".".join(keys[-length:])
            others = [k for f, k in paths.items() if f != field]
            if name not in taken and not any(".".join(k[-length:]) == name for k in others):
                names[field] = name
                break
        else:
            names[field] = field
    return names


def missing_share(records: Sequence[Mapping[str, Any]], fields: Collection[str]) -> float:
    """The largest share of these fields that one of the records lacks."""
    return max(sum(find(record, f) is None for f in fields) / len(fields) for record in records)


def quoted(text: str) -> str:
    """A text as TOML has it; its basic strings are JSON's."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def plain(text: str) -> str:
    """Without what would end a comment."""
    return "".join(c if c.isprintable() else "?" for c in text)
