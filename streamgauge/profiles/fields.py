"""The fields of a source profile and how each is read from its TOML table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from streamgauge.errors import ConfigurationError
from streamgauge.features import CategoricalFeature, NumericFeature, Transform
from streamgauge.profiles.missing_rules import MissingRule
from streamgauge.profiles.tables import Mistakes, Table

ISO8601, STRPTIME = "iso8601", "strptime:"
UNIX = {"unix_s": 1.0, "unix_ms": 1e3, "unix_us": 1e6, "unix_ns": 1e9}
"""Formats of times that are numbers -> how many of its units a second has."""
_TIME_FORMATS = f"{', '.join(map(repr, (ISO8601, *UNIX)))} or '{STRPTIME}<format>'"


@dataclass(frozen=True, slots=True)
class TimeField:
    """Where the event time stands.

    Attributes:
        field: JSON field; None: the Kafka message's timestamp (for sources without a time of their own).
        format: ``iso8601``, one of `UNIX` or ``strptime:<format>``; without a zone it is UTC.
    """

    field: str | None = None
    format: str = ISO8601


@dataclass(frozen=True, slots=True)
class NumericField:
    """A numeric JSON field, the feature it feeds and what to do where it is missing."""

    field: str
    feature: NumericFeature
    missing: MissingRule


@dataclass(frozen=True, slots=True)
class CategoricalField:
    """A categorical JSON field, the feature it feeds and what to do where it is missing."""

    field: str
    feature: CategoricalFeature
    missing: MissingRule


@dataclass(frozen=True, slots=True)
class LabelField:
    """Where the truth stands in labelled sources; read only where a node's `learn_labels` says so.

    Attributes:
        field: JSON field of the label.
        normal: values that mean normal; numbers as text (``0`` also stands for 0.0).
        unlabelled: values that mean "not labelled".
        attack_type: JSON field with the type of an attack, may be `field` itself; None if there is none.
    """

    field: str
    normal: tuple[str, ...]
    unlabelled: tuple[str, ...] = ()
    attack_type: str | None = None


def read_choice(table: Table, key: str, allowed: tuple[str, ...], default: str) -> str:
    """One of the allowed texts."""
    value = table.text(key, default)
    if value not in allowed:
        raise table.error(key, value, " or ".join(map(repr, allowed)))
    return value


def read_positive(table: Table, key: str) -> float:
    """A number above 0."""
    value = table.number(key)
    if value <= 0:
        raise table.error(key, value, "a number above 0")
    return value


def read_time(table: Table) -> TimeField:
    """The table ``[time]``: `source = "message"`, or `field` and `format`."""
    if table.has("source"):
        read_choice(table, "source", ("message",), "message")
        table.finish()
        return TimeField()
    mistakes = Mistakes()
    field = mistakes.read(lambda: table.text("field"), "")
    format_ = mistakes.read(lambda: _read_format(table), ISO8601)
    mistakes.read(table.finish, None)
    mistakes.finish()
    return TimeField(field, format_)


def _read_format(table: Table) -> str:
    format_ = table.text("format")
    if format_ not in (ISO8601, *UNIX) and not (format_.startswith(STRPTIME) and "%" in format_):
        raise table.error("format", format_, _TIME_FORMATS)
    if format_.startswith(STRPTIME) and (problem := _strptime_problem(format_.removeprefix(STRPTIME))):
        raise table.error("format", format_, f"a format of Python's strptime; this one {problem}")
    return format_


def _strptime_problem(format_: str) -> str | None:
    """What keeps a format from reading times back, found by trying; None if nothing."""
    moment = datetime(2026, 1, 31, 8, 30, 15, tzinfo=UTC)
    try:
        read = datetime.strptime(moment.strftime(format_), format_)
    except ValueError as error:
        return f"cannot be read: {error}"
    return None if read.year == moment.year else "has no year, so that every time would be before 1970"


def read_entity(table: Table) -> str | None:
    """The table ``[entity]``: `source = "key"` (None) or `field`."""
    if table.has("source"):
        read_choice(table, "source", ("key",), "key")
        field = None
    else:
        field = table.text("field")
    table.finish()
    return field


def read_numeric(table: Table, default: MissingRule) -> NumericField:
    """One table of ``[[numeric]]``; without `missing` the profile's default rule counts."""
    mistakes = Mistakes()
    read = mistakes.read
    field = read(lambda: table.text("field"), "")
    name, unit = read(lambda: table.text("name", field), field), read(lambda: table.text("unit", ""), "")
    transform: Transform = "none"
    if read(lambda: read_choice(table, "transform", ("none", "log1p"), "none"), "none") == "log1p":
        transform = "log1p"
    low, high = read(lambda: table.number("min"), None), read(lambda: table.number("max"), None)
    rule = read(lambda: read_rule(table, default), default)
    read(table.finish, None)
    if low is not None and high is not None and low >= high:
        mistakes.add(table.error("max", high, f"a number above min, which is {low:g}"))
    mistakes.finish()
    assert low is not None
    assert high is not None
    return NumericField(field, NumericFeature(name, low, high, unit, transform), rule)


def read_categorical(table: Table, default: MissingRule) -> CategoricalField:
    """One table of ``[[categorical]]``; without `missing` the profile's default rule counts."""
    mistakes = Mistakes()
    read = mistakes.read
    field = read(lambda: table.text("field"), "")
    name = read(lambda: table.text("name", field), field)
    categories = read(lambda: table.texts("categories"), None)
    rule = read(lambda: read_rule(table, default), default)
    read(table.finish, None)
    feature = None
    if categories is not None:
        try:
            feature = CategoricalFeature(name, categories)
        except ConfigurationError as error:
            mistakes.add(ConfigurationError(f"{table.where}: {error}"))
    mistakes.finish()
    assert feature is not None
    return CategoricalField(field, feature, rule)


def read_rule(table: Table, default: MissingRule) -> MissingRule:
    """The key `missing` of a table, or the default."""
    if not table.has("missing"):
        return replace(default, inherited=True)
    try:
        return MissingRule.parse(table.text("missing"))
    except ConfigurationError as error:
        raise ConfigurationError(f"{table.where}: {error}") from error


def read_label(table: Table) -> LabelField:
    """The table ``[label]``."""
    mistakes = Mistakes()
    read = mistakes.read
    label = LabelField(
        field=read(lambda: table.text("field"), ""),
        normal=read(lambda: table.texts("normal"), ()),
        unlabelled=read(lambda: table.texts("unlabelled", ()), ()),
        attack_type=read(lambda: table.text("attack_type") if table.has("attack_type") else None, None),
    )
    read(table.finish, None)
    mistakes.finish()
    return label
