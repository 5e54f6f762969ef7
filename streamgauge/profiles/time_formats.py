"""How the times of unknown records are written."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

from streamgauge.profiles.columns import LATEST_S, time_parser
from streamgauge.profiles.fields import ISO8601, STRPTIME, UNIX
from streamgauge.profiles.paths import find
from streamgauge.profiles.seen import MOSTLY, Seen

EARLIEST_S = 631_152_000.0
"""Numbers before 1990 are not taken for times."""
_DAYS = (
    *("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%d/%m/%y", "%m/%d/%y", "%d.%m.%y"),
    *("%d-%b-%y", "%d-%b-%Y", "%d %b %Y", "%d %B %Y", "%b %d %Y", "%b %d, %Y"),
)
_CLOCKS = ("%H:%M:%S", "%H:%M:%S.%f", "%I:%M:%S %p", "%I:%M:%S.%f %p", "%H:%M", "%I:%M %p", "%H")
_BOTH = (
    *(f"{day} {clock}" for day, clock in product(_DAYS, _CLOCKS)),
    *("%d/%b/%Y:%H:%M:%S %z", "%a %b %d %H:%M:%S %Y", "%a, %d %b %Y %H:%M:%S %Z", "%Y.%m.%d %H:%M:%S"),
)


@dataclass(frozen=True)
class Written:
    """How a field's times are written.

    Attributes:
        format: as a profile has it.
        other: another format that reads the same texts, day and month changed over; None if none does.
    """

    format: str
    other: str | None = None


def time_written(seen: Seen) -> Written | None:
    """The format that reads all values of a field, else the most and nearly all; None if no known one does.

    Of two that do, the one by which time goes back less often from record to record.
    """
    if seen.kind == "number" or (seen.kind == "text" and all(_is_whole(v) for v in seen.values)):
        low, high = (float(f(map(float, seen.values))) for f in (min, max))
        for format_, units in UNIX.items():
            if EARLIEST_S * units <= low and high < LATEST_S * units:
                return Written(format_)
        return None
    if seen.kind != "text":
        return None
    if _reads_all(ISO8601, seen):
        return Written(ISO8601)
    formats = [f for f in (STRPTIME + both for both in _BOTH) if _reads_all(f, seen)]
    formats.sort(key=lambda f: _steps_back(f, seen.examples))
    if not formats:
        return _mostly_written(seen)
    same = len(formats) > 1 and _steps_back(formats[0], seen.examples) == _steps_back(formats[1], seen.examples)
    return Written(formats[0], formats[1] if same else None)


def _mostly_written(seen: Seen) -> Written | None:
    unread = {f: _unread(f, seen) for f in (ISO8601, *(STRPTIME + both for both in _BOTH))}
    found = {f: (n, _steps_back(f, seen.examples)) for f, n in unread.items() if n is not None}
    formats = sorted(found, key=lambda f: found[f])
    if not formats:
        return None
    same = len(formats) > 1 and found[formats[0]] == found[formats[1]]
    return Written(formats[0], formats[1] if same else None)


def half_a_time(seen: Seen) -> str | None:
    """``date`` or ``time of day`` where a field holds only that; None else."""
    if seen.kind != "text" or not seen.values:
        return None
    for what, formats in (("date", ("%Y-%m-%d", *_DAYS)), ("time of day", _CLOCKS[:-1])):
        day = "" if what == "date" else "%d.%m.%Y "
        prefix = "" if what == "date" else "01.01.2000 "
        for format_ in formats:
            parse = time_parser(STRPTIME + day + format_)
            if all(_read(parse, prefix + text.strip()) is not None for text in seen.values):
                return what
    return None


def steps_s(records: Sequence[Mapping[str, Any]], time: str, format_: str, entity: str | None) -> list[float]:
    """Seconds between records of an entity that follow each other, where time goes on."""
    parse, last, steps = time_parser(format_), dict[Any, float](), list[float]()
    for record in records:
        at, key = _read(parse, find(record, time)), str(find(record, entity)) if entity else ""
        if at is not None:
            if at > last.get(key, at):
                steps.append(at - last[key])
            last[key] = at
    return steps


def unread_times(records: Sequence[Mapping[str, Any]], time: str, format_: str) -> list[int]:
    """Indices of records whose time is there, but not as the format has it."""
    parse = time_parser(format_)
    return [i for i, r in enumerate(records) if (v := find(r, time)) is not None and _read(parse, v) is None]


def regular_s(steps: Sequence[float]) -> float | None:
    """The usual step, where nine of ten are within a tenth of it; None else."""
    if len(steps) < 10:
        return None
    usual = float(f"{statistics.median(steps):.3g}")
    near = sum(abs(step - usual) <= 0.1 * usual for step in steps)
    return usual if usual > 0 and near >= 0.9 * len(steps) else None


def _is_whole(text: str) -> bool:
    return text.isdecimal() and len(text) >= 9


def _reads_all(format_: str, seen: Seen) -> bool:
    parse = time_parser(format_)
    return bool(seen.values) and all(_read(parse, text) is not None for text in seen.values)


def _unread(format_: str, seen: Seen) -> int | None:
    """How many values a format does not read; None if it reads too few of them."""
    parse, unread = time_parser(format_), 0
    for i, (text, count) in enumerate(seen.values.items()):
        if _read(parse, text) is None:
            unread += count
            if unread > (1 - MOSTLY) * seen.present or unread > 3 + i / 2:  # the latter: soon seen, of most texts
                return None
    return unread


def _read(parse: Any, text: Any) -> float | None:
    try:
        seconds = parse(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return seconds if 0 < seconds < LATEST_S else None


def _steps_back(format_: str, values: Sequence[Any]) -> int:
    parse = time_parser(format_)
    times = [at for value in values if (at := _read(parse, value)) is not None]
    return sum(after < before for before, after in pairwise(times))
