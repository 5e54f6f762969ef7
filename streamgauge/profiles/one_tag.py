"""Whether unknown records are messages of one tag each, and how their ticks would be (ADR 035)."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamgauge.profiles.long_layout import SHORTEST_TICK_S
from streamgauge.profiles.paths import find
from streamgauge.profiles.seen import Seen, plain_value, words
from streamgauge.profiles.time_formats import steps_s

_VALUES = ({"value"}, {"val"}, {"reading"}, {"measurement"}, {"data"}, {"v"})
_TAGS = (
    *(
        {"tag"},
        {"metric"},
        {"signal"},
        {"display", "name"},
        {"variable"},
        {"measurement"},
        {"parameter"},
        {"point"},
    ),
    *(
        {"topic"},
        {"channel"},
        {"sensor"},
        {"register"},
        {"name"},
        {"node", "id"},
        {"item"},
        {"quantity"},
        {"field"},
    ),
    {"address"},
)
"""Words of a name that names tags, the likeliest first."""
_NUMBERED = ({"tag"}, {"channel"}, {"register"}, {"address"}, {"point"})
_TICKS_S = (0.001, 0.01, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
_FEW = 20
"""Whole numbers of so few values are types, qualities or the like."""
_STEPS = 2000
"""Messages of a tag that tell how often it is sent."""


@dataclass(frozen=True)
class OneTag:
    """Fields that name tag and value."""

    tag: str
    value: str


def one_tag_among(seen: Mapping[str, Seen], taken: Collection[str]) -> OneTag | None:
    """Tag and value, where a field is named like a value and another like what it is of.

    Args:
        seen: of the records.
        taken: fields that are something else, such as the time.
    """
    value = _named(seen, _VALUES, [f for f, s in seen.items() if f not in taken and _may_be_value(s)])
    if value is None:
        return None
    tags = [f for f, s in seen.items() if f not in {*taken, value} and _may_be_tag(f, s, seen[value])]
    several = [f for f in tags if len(seen[f].values) > 1]
    tag = _named(seen, _TAGS, several)
    if tag is None:
        return None
    numbers = [f for f, s in seen.items() if f not in {*taken, tag, value} and _measures(s)]
    return OneTag(tag, value) if len(numbers) <= 1 else None  # records of many sensors have many numbers


def _measures(seen: Seen) -> bool:
    counts = seen.whole and (seen.rising or len(seen.values) <= _FEW)
    return seen.kind == "number" and len(seen.values) > 1 and not counts


def _may_be_value(seen: Seen) -> bool:
    return seen.nameable and seen.present > 0 and not seen.kinds.keys() & {"array", "object"}


def _may_be_tag(name: str, seen: Seen, value: Seen) -> bool:
    if not seen.nameable or seen.present < value.present or len(seen.values) > max(1, seen.present / 2):
        return False
    numbered = seen.kind == "number" and seen.whole and any(all_of <= set(words(name)) for all_of in _NUMBERED)
    return seen.kind == "text" or numbered


def _named(seen: Mapping[str, Seen], ranks: Sequence[set[str]], names: Sequence[str]) -> str | None:
    """Of these names the one whose last key has the words of the earliest rank."""
    ranked = []
    for place, name in enumerate(names):
        own = set(words(name.rpartition(".")[2])) or set(words(name))
        rank = next((i for i, all_of in enumerate(ranks) if all_of <= own and len(own) <= len(all_of) + 1), None)
        if rank is not None:
            ranked.append((rank, -len(seen[name].values), place, name))
    return min(ranked)[3] if ranked else None


def by_tag(records: Sequence[Mapping[str, Any]], one: OneTag) -> dict[str, list[Mapping[str, Any]]]:
    """The records of each tag, in the order of first appearance."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        tag = find(record, one.tag)
        if tag is not None and tag != "":
            found.setdefault(plain_value(tag), []).append(record)
    return found


def of_the_tag(records: Mapping[str, Sequence[Mapping[str, Any]]], names: Collection[str]) -> set[str]:
    """Fields that are the same in all records of a tag, and not of all tags: units, types, descriptions."""
    fixed = set()
    for name in names:
        values = [{plain_value(find(record, name)) for record in group} for group in records.values()]
        if all(len(each) == 1 for each in values) and len(set().union(*values)) > 1:
            fixed.add(name)
    return fixed


def tick_s(
    records: Mapping[str, Sequence[Mapping[str, Any]]], time: str | None, format_: str, entity: str | None
) -> tuple[float, float | None]:
    """Length of a tick in seconds, and how often a typical tag is sent; that is None where it cannot be told."""
    if time is None:
        return 1.0, None
    steps = [step for group in records.values() for step in steps_s(group[:_STEPS], time, format_, entity)]
    if not steps:
        return 1.0, None
    typical = statistics.median(steps)
    return max((t for t in _TICKS_S if t <= typical * 1.05), default=SHORTEST_TICK_S), typical
