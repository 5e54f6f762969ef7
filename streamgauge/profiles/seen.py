"""What the fields of unknown records showed: kinds, values, ranges; what a profile is proposed from."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamgauge.profiles.paths import ROOT

MOSTLY = 0.9
"""Share of values that make a field one of numbers, or of times, where the others are mistakes."""
MOST_CODES = 10
"""Numbers of no more different values may be codes."""


@dataclass
class Seen:
    """What one field showed.

    Attributes:
        present: records in which it is neither absent nor null.
        kinds: how often a ``number``, ``text``, ``boolean``, ``array`` or ``object``.
        values: how often each value, as a profile writes it.
        examples: the values themselves, in the order of the records.
        low, high: of the numbers.
        whole: all numbers are integers.
        rising: no number is smaller than the one before.
        odd: texts among the numbers, which the other attributes leave out; see `numbers_of`.
        nameable: a profile can name the field; not where it has no name, or a dot within an object.
    """

    present: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    values: Counter[str] = field(default_factory=Counter)
    examples: list[Any] = field(default_factory=list)
    low: float = math.inf
    high: float = -math.inf
    whole: bool = True
    rising: bool = True
    odd: Counter[str] = field(default_factory=Counter)
    nameable: bool = True

    def add(self, value: Any) -> None:
        """Take in one value that is not null."""
        self.present += 1
        kind = _kind(value)
        self.kinds[kind] += 1
        self.values[plain_value(value)[:200]] += 1
        if kind == "number":
            number = float(value)
            self.rising &= number >= self.high
            self.low, self.high = min(self.low, number), max(self.high, number)
            self.whole &= number.is_integer()
        self.examples.append(value)

    @property
    def kind(self) -> str:
        """The one kind, or ``mixed``."""
        return next(iter(self.kinds)) if len(self.kinds) == 1 else "mixed"

    @property
    def switch(self) -> bool:
        """Numbers, and none but 0 and 1."""
        return self.kind == "number" and self.values.keys() <= {"0", "1"}


def numbers_of(seen: Seen) -> Seen:
    """The numbers of a field that holds nearly nothing else, and its few texts as `odd`; others as they are."""
    if seen.kinds.keys() != {"number", "text"} or seen.kinds["number"] < MOSTLY * seen.present:
        return seen
    found = Seen(nameable=seen.nameable)
    for value in seen.examples:
        if isinstance(value, str):
            found.odd[value] += 1
        else:
            found.add(value)
    return found if len(found.values) > MOST_CODES else seen


def plain_value(value: Any) -> str:
    """A value as a profile writes it: 0 for 0.0, true for True."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "text"
    return "object" if isinstance(value, Mapping) else "array"


def look_at(records: Sequence[Mapping[str, Any]]) -> dict[str, Seen]:
    """What each field showed, in the order of first appearance; fields of objects by their path."""
    seen: dict[str, Seen] = {}
    for record in records:
        for name, value, nameable in _leaves(record):
            one = seen.setdefault(name, Seen(nameable=nameable))
            if value is not None and not (isinstance(value, float) and not math.isfinite(value)):
                one.add(value)
    return seen


def _leaves(record: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any, bool]]:
    for key, value in record.items():
        here = (*path, key)
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, here)
        elif len(here) == 1:
            yield key, value, bool(key) and not key.startswith(ROOT)
        else:
            yield ROOT + ".".join(here), value, not any("." in part or not part for part in here)


def words(name: str) -> list[str]:
    """The words of a field's name, in small letters.

    >>> words("$.Value.SourceTimestamp"), words("id.orig_h"), words("machineID"), words("Src IP")
    (['value', 'source', 'timestamp'], ['id', 'orig', 'h'], ['machine', 'id'], ['src', 'ip'])
    """
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name.removeprefix(ROOT))
    return [part.lower() for part in parts]
