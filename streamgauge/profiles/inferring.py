"""A profile proposed for unknown records: a text for a person to edit, with what was seen and why it is so."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamgauge.errors import DataError
from streamgauge.profiles.columns import LATEST_S, time_parser
from streamgauge.profiles.fields import ISO8601, STRPTIME, UNIX_MS, UNIX_S

MAX_CATEGORIES = 100
"""A text of more different values is no category."""
MAX_ENTITIES = 0.2
"""Share of different values above which a text names single records, not entities."""
EARLIEST_S = 631_152_000.0
"""Numbers before 1990 are not taken for times."""
_TIME_NAMES = re.compile(r"(^|[^a-z])(ts|t|time|timestamp|datetime|date|at)([^a-z]|$)", re.I)
_ENTITY_NAMES = re.compile(r"(entity|machine|device|host|asset|sensor|node|unit|src_ip|orig_h|station|line)", re.I)
_LABEL_NAMES = re.compile(r"(^|[^a-z])(label|class|attack|anomaly|target|normal)([^a-z]|$)", re.I)
_NORMAL = ("normal", "benign", "ok", "0", "false")
_FORMATS = ("%d/%m/%Y %H:%M:%S", "%d/%m/%Y %I:%M:%S %p", "%m/%d/%Y %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%d/%m/%y %H")


@dataclass
class Seen:
    """What one field showed.

    Attributes:
        present: records in which it is neither absent nor null.
        kinds: how often a ``number``, ``text``, ``boolean``, or ``array``.
        values: how often each value, as text, while there are not too many.
        low, high: of the numbers.
        whole: all numbers are integers.
        rising: no number is smaller than the one before.
    """

    present: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    values: Counter[str] = field(default_factory=Counter)
    examples: list[Any] = field(default_factory=list)
    low: float = math.inf
    high: float = -math.inf
    whole: bool = True
    rising: bool = True
    _last: float = -math.inf

    def add(self, value: Any) -> None:
        """Take in one value that is not null."""
        self.present += 1
        kind = _kind(value)
        self.kinds[kind] += 1
        text = str(value).lower() if kind == "boolean" else str(value)
        self.values[text[:200]] += 1
        if len(self.examples) < 200:
            self.examples.append(value)
        if kind == "number":
            number = float(value)
            self.low, self.high = min(self.low, number), max(self.high, number)
            self.whole &= number.is_integer()
            self.rising &= number >= self._last
            self._last = number

    @property
    def kind(self) -> str:
        """The one kind, or ``mixed``."""
        return next(iter(self.kinds)) if len(self.kinds) == 1 else "mixed"


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else "array"


def look_at(records: Sequence[Mapping[str, Any]]) -> dict[str, Seen]:
    """What each field showed, in the order of first appearance; fields of objects by their path."""
    seen: dict[str, Seen] = {}
    for record in records:
        for name, value in _leaves(record):
            if value is not None and not (isinstance(value, float) and not math.isfinite(value)):
                seen.setdefault(name, Seen()).add(value)
            else:
                seen.setdefault(name, Seen())
    return seen


def _leaves(record: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for key, value in record.items():
        here = (*path, key)
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, here)
        elif len(here) == 1:
            yield key, value
        elif not any("." in part or not part for part in here):  # a path cannot name other keys
            yield "$." + ".".join(here), value


def propose(records: Sequence[Mapping[str, Any]], name: str) -> str:
    """TOML of a profile for records like these; `load_profile` reads it as it is.

    Args:
        records: at least one, in the order of the source; some thousands tell enough.
        name: of the profile.
    Raises:
        DataError: no field may be a feature; says why of each.
    """
    seen, n = look_at(records), len(records)
    time, format_ = _time(seen, n)
    entity = _entity(seen, n, {time})
    label = next(
        (f for f, s in seen.items() if _LABEL_NAMES.search(f) and 1 <= len(s.values) <= MAX_CATEGORIES), None
    )
    lines = [
        f"# Proposed from {n} records. Check what is marked with `check`; all sites of a federation need the same",
        "# features, ranges and rules.",
        f"name = {_quoted(name)}",
        f"title = {_quoted(f'Records of {name}')}",
        "# check: a missing cell says nothing; other rules: reject, last:<seconds>, constant:<value>",
        'missing = "mask"',
        "",
        "[time]",
    ]
    if time is None:
        lines += ["# No field reads as a time: the message's own timestamp counts.", 'source = "message"']
    else:
        lines += [f"field = {_quoted(time)}", f"format = {_quoted(format_)}"]
        if format_.startswith(STRPTIME):
            lines[-1] += "  # check: day or month first?"
    lines += ["", "[entity]"]
    if entity is None:
        lines += ["# No field names machines, hosts or the like: the message's key counts.", 'source = "key"']
    else:
        lines.append(f"field = {_quoted(entity)}  # check: {len(seen[entity].values)} different ones")
    if label is not None:
        lines += ["", *_label(label, seen[label])]
    features = [f for f in seen if f not in (time, entity, label)]
    tables, dropped = [], []
    for f in features:
        why = _useless(seen[f], n)
        if why is None:
            tables.append(_numeric(f, seen[f], n) if seen[f].kind == "number" else _categorical(f, seen[f], n))
        else:
            dropped.append(f"#   {_plain(f)}: {why}")
    if not tables:
        raise DataError("\n".join(["no field of these records may be a feature:", *dropped]))
    for table in (*(t for t in tables if t[0] == "[[numeric]]"), *(t for t in tables if t[0] != "[[numeric]]")):
        lines += ["", *table]
    if dropped:
        lines += ["", "# Left out:", *dropped]
    return "\n".join(lines) + "\n"


def _time(seen: Mapping[str, Seen], n: int) -> tuple[str | None, str]:
    """The field that reads as a time in all records, one named like a time first."""
    found = [(name, format_) for name, s in seen.items() if s.present == n and (format_ := _time_format(s))]
    found = [f for f in found if not f[1].startswith("unix") or _TIME_NAMES.search(f[0])]
    found.sort(key=lambda f: not _TIME_NAMES.search(f[0]))
    return found[0] if found else (None, ISO8601)


def _time_format(seen: Seen) -> str | None:
    if seen.kind == "number":
        for format_, factor in ((UNIX_S, 1.0), (UNIX_MS, 1000.0)):
            if EARLIEST_S * factor <= seen.low and seen.high < LATEST_S * factor:
                return format_
        return None
    if seen.kind != "text":
        return None
    for format_ in (ISO8601, *(STRPTIME + f for f in _FORMATS)):
        parse = time_parser(format_)
        try:
            if all(0 < parse(value) < LATEST_S for value in seen.examples):
                return format_
        except (ValueError, TypeError, OverflowError):
            continue
    return None


def _entity(seen: Mapping[str, Seen], n: int, taken: set[str | None]) -> str | None:
    texts = [
        name
        for name, s in seen.items()
        if name not in taken and s.kind == "text" and s.present == n and len(s.values) <= max(1, MAX_ENTITIES * n)
    ]
    return next((name for name in texts if _ENTITY_NAMES.search(name)), None)


def _label(name: str, seen: Seen) -> list[str]:
    normal = [v for v in seen.values if v.strip().lower() in _NORMAL]
    values = ", ".join(f"{v} ({c})" for v, c in seen.values.most_common(10))
    kept = normal or [seen.values.most_common(1)[0][0]]
    return [
        f"[label]  # check: is this the truth? {_plain(values)}",
        f"field = {_quoted(name)}",
        f"normal = [{', '.join(_quoted(v.strip()) for v in kept)}]"
        + ("" if normal else "  # check: the most frequent"),
    ]


def _useless(seen: Seen, n: int) -> str | None:
    """Why a field is no feature; None if it may be one."""
    if not seen.present:
        return "always null"
    if seen.kind == "array":
        return "holds arrays"
    if seen.kind == "mixed":
        return "holds " + ", ".join(f"{k} ({c})" for k, c in seen.kinds.most_common())
    if len(seen.values) == 1:
        return f"constant: {_plain(next(iter(seen.values)))[:60]}"
    if seen.kind == "number":
        unique = len(seen.values) == seen.present
        return (
            "like an id or a counter: whole numbers, all different, rising"
            if (unique and seen.whole and seen.rising and seen.present >= 10)
            else None
        )
    if len(seen.values) > seen.present / 2 and seen.present >= 10:
        return f"like an id: {len(seen.values)} different texts in {seen.present} records"
    if len(seen.values) > MAX_CATEGORIES:
        return f"{len(seen.values)} different texts are too many for categories"
    return None


def _numeric(name: str, seen: Seen, n: int) -> tuple[str, ...]:
    low, high = _range(seen)
    log = low >= 0 and seen.high > 1000 * max(1.0, seen.low)
    shown = f"# seen {seen.low:g} to {seen.high:g}{_absent(seen, n)}; check the range: what the sensor can show"
    more = ('transform = "log1p"',) if log else ()
    return (
        "[[numeric]]",
        shown,
        f"field = {_quoted(name)}",
        *_canonical(name),
        *more,
        f"min = {low!r}",
        f"max = {high!r}",
    )


def _range(seen: Seen) -> tuple[float, float]:
    """Half as wide again as what was seen, 0 where nothing was below."""
    width = seen.high - seen.low
    low = seen.low - width / 4
    if seen.low >= 0:
        low = max(0.0, low)
    return float(f"{low:.3g}") if low else 0.0, float(f"{seen.high + width / 4:.3g}")


def _categorical(name: str, seen: Seen, n: int) -> tuple[str, ...]:
    counts = ", ".join(f"{v} ({c})" for v, c in seen.values.most_common())
    values = ", ".join(_quoted(v) for v in sorted(seen.values) if v != "other")
    return (
        "[[categorical]]",
        f"# {_plain(counts)[:1000]}{_absent(seen, n)}",
        f"field = {_quoted(name)}",
        *_canonical(name),
        f"categories = [{values}]",
    )


def _canonical(name: str) -> tuple[str, ...]:
    return (f"name = {_quoted(name.rpartition('.')[2])}",) if name.startswith("$.") else ()


def _absent(seen: Seen, n: int) -> str:
    return f", missing in {n - seen.present} of {n}" if seen.present < n else ""


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")  # TOML's basic strings are JSON's


def _plain(text: str) -> str:
    """Without what would end a comment."""
    return "".join(c if c.isprintable() else "?" for c in text)
