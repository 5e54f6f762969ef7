"""From structs to columns: times, entities, categories, labels; each says which rows are bad and why."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamgauge.names import Names
from streamgauge.profiles.fields import ISO8601, STRPTIME, UNIX, CategoricalField, LabelField

Bad = dict[int, tuple[str, str]]
"""Row -> (reason, detail)."""
LATEST_S = 4_102_444_800.0
"""Event times must lie between the epoch and this (the year 2100), both excluded."""
MAX_ENTITY = 1000
"""Characters of an entity's name."""
MISSING = -1
"""Code of a category that is missing."""


def time_parser(format_: str) -> Callable[[Any], float]:
    """A function from a field's value to seconds since the epoch; raises ValueError or TypeError."""
    if format_ == ISO8601:
        return _iso_seconds
    if format_.startswith(STRPTIME):
        return lru_cache(maxsize=4096)(_strptime(format_.removeprefix(STRPTIME)))
    units = UNIX[format_]
    return float if units == 1 else lambda value: float(value) / units


def _iso_seconds(value: Any) -> float:
    return _seconds(datetime.fromisoformat(value))


def _strptime(format_: str) -> Callable[[Any], float]:
    def parse(value: Any) -> float:
        return _seconds(
            datetime.strptime(str.strip(value), format_)
        )  # plants write blanks around; no text: TypeError

    return parse


def _seconds(moment: datetime) -> float:
    """A time without a zone is UTC, whatever zone the machine is set to."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def times_of(column: Sequence[Any], parse: Callable[[Any], float]) -> tuple[NDArray[np.float64], Bad]:
    """(n,) seconds since the epoch, and the rows whose time is missing or implausible."""
    try:
        times = np.fromiter(map(parse, column), np.float64, len(column))
    except (ValueError, TypeError, OverflowError):
        times = np.array([_parsed_or_nan(value, parse) for value in column], np.float64)
    bad: Bad = {}
    for row in np.flatnonzero(~((times > 0) & (times < LATEST_S))).tolist():
        value = column[row]
        if value is None or value == "":
            bad[row] = ("missing-time", "no event time")
        else:
            bad[row] = (
                "bad-time",
                f"{str(value)[:60]!r} is not a time of the profile's format after 1970, before 2100",
            )
    return times, bad


def _parsed_or_nan(value: Any, parse: Callable[[Any], float]) -> float:
    try:
        return parse(value)
    except (ValueError, TypeError, OverflowError):
        return math.nan


def entities_of(column: Sequence[Any]) -> tuple[Names, Bad]:
    """Names of the entities; numbers become text. Only distinct values cost a check."""
    place = {value: k for k, value in enumerate(dict.fromkeys(column))}
    codes = np.fromiter(map(place.__getitem__, column), np.int64, len(column))
    names = [_entity_name(value) for value in place]
    bad = {}
    if None in names:
        wrong = [k for k, name in enumerate(names) if name is None]
        rows = np.flatnonzero(np.isin(codes, wrong)).tolist()
        bad = {row: _entity_problem(column[row]) for row in rows}
    return Names([name or "" for name in names], codes), bad


def _entity_name(value: Any) -> str | None:
    """The name as it is, a number or UTF-8 bytes as text; None where it cannot name an entity."""
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            return None
    name = value if isinstance(value, str) else "" if value is None else str(value)
    return name if 0 < len(name) <= MAX_ENTITY and "\0" not in name else None


def _entity_problem(value: Any) -> tuple[str, str]:
    if value is None or len(value) == 0:
        return "missing-entity", "no entity in the profile's field or the message's key"
    if isinstance(value, bytes) and len(value) <= MAX_ENTITY:
        return "wrong-encoding", "the message's key is not UTF-8 or holds a NUL"
    return "bad-entity", f"an entity has 1 to {MAX_ENTITY} characters, none of them NUL"


def category_codes(field: CategoricalField) -> dict[Any, int]:
    """Value -> code for `codes_of`; None -> `MISSING`; numbers as their text."""
    codes: dict[Any, int] = {None: MISSING}
    for code, category in enumerate(field.feature.categories):
        codes[category] = code
        if category.isdecimal() and str(int(category)) == category:
            codes[int(category)] = code
    return codes


def codes_of(column: Sequence[Any], known: Mapping[Any, int], other: int) -> list[int]:
    """Codes of a categorical field's values, `other` for those that are not listed; booleans as their text."""
    if bool in set(map(type, column)):  # to a dict True is 1
        column = [str(value).lower() if isinstance(value, bool) else value for value in column]
    return [known.get(value, other) for value in column]


def labels_of(column: Sequence[Any], label: LabelField) -> NDArray[np.float32]:
    """(n,) 0 normal, 1 abnormal, NaN without a label."""
    cache: dict[str, float] = dict.fromkeys(label.normal, 0.0) | dict.fromkeys((*label.unlabelled, ""), math.nan)
    return np.array([cache.get(_label_text(value), 1.0) for value in column], np.float32)


def _label_text(value: Any) -> str:
    """``0``, ``0.0`` and false spelled as in a profile: "0", "0", "false"; None as the empty text."""
    if isinstance(value, str):
        return value.strip()
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"
