"""What an Arrow schema is to a profile: whether it can be read, and which columns are looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from streamgauge.errors import InvalidRecordError
from streamgauge.profiles.arrow_rows import is_text, types
from streamgauge.profiles.profile import Profile
from streamgauge.profiles.record_reader import numeric_fields, other_fields


@dataclass(frozen=True)
class ColumnPlan:
    """Columns of one schema, by their place.

    Attributes:
        schema: whose they are.
        texts: dictionary-encoded texts, which may stand for more than they bring.
        numeric: of each numeric field, -1 where it has none.
        alike: whether all of these are there, of one floating type.
        others: of every other field that is read, as a schema of their own.
    """

    schema: Any
    texts: tuple[int, ...]
    numeric: tuple[int, ...]
    alike: bool
    others: tuple[int, ...]


class SchemaReader:
    """Checks schemas against a profile.

    Args:
        profile: what the columns mean.
        learn_labels: the label's column is read.
    """

    def __init__(self, profile: Profile, learn_labels: bool) -> None:
        self._profile = profile
        self._label = profile.label.field if profile.label and learn_labels else None
        self._numeric = numeric_fields(profile)
        self._categorical = [f.field for f in profile.categorical]
        self._others = tuple(other_fields(profile, learn_labels))
        self._needed = {name for name in (profile.time.field, profile.entity) if name is not None}
        self._needed |= {f.field for f in profile.numeric if f.missing.kind == "reject"}
        self._needed |= {f.field for f in profile.categorical if f.missing.kind == "reject"}

    def plan(self, schema: Any) -> ColumnPlan:
        """The columns of a schema.

        Raises:
            InvalidRecordError: ``missing-column`` or ``wrong-type``.
        """
        self._check_present(schema)
        self._check_kinds(schema)
        places = tuple(schema.get_field_index(name) for name in self._numeric)
        numeric = tuple(at if at >= 0 and not is_null(schema.field(at).type) else -1 for at in places)
        kinds = {schema.field(at).type if at >= 0 else None for at in numeric}
        alike = len(kinds) == 1 and all(kind is not None and is_floating(kind) for kind in kinds)
        others = (schema.get_field_index(name) for name in self._others)
        return ColumnPlan(schema, encoded_texts(schema), numeric, alike, tuple(at for at in others if at >= 0))

    def _check_present(self, schema: Any) -> None:
        # A column of nulls brings nothing, for any number of rows: as good as none.
        names = {column.name for column in schema if not is_null(column.type)}
        if absent := sorted(self._needed - names):
            raise InvalidRecordError("missing-column", f"no column {', '.join(map(repr, absent))}")
        features = [*self._numeric, *self._categorical]
        absent = [name for name in features if name not in names]
        if len(absent) > self._profile.max_missing_share * len(features):
            raise InvalidRecordError(
                "missing-column", f"{len(absent)} of {len(features)} features have no column, first {absent[0]!r}"
            )

    def _check_kinds(self, schema: Any) -> None:
        entity, time = self._profile.entity, self._profile.time.field
        text, whole = (is_text, is_integer), (is_integer, is_boolean)
        _check(schema, self._numeric, (is_integer, is_floating), "numbers")
        categorical = [name for name in self._categorical if name != entity]
        _check(schema, categorical, (*text, is_boolean), "texts, integers or booleans")
        _check(schema, [entity], text, "texts or integers")
        _check(schema, [time], (*text, is_floating, is_timestamp), "texts, numbers or timestamps")
        _check(schema, [self._label], (is_text, *whole, is_floating), "texts, numbers or booleans")


def _check(schema: Any, names: Sequence[str | None], allowed: Sequence[Callable[[Any], bool]], said: str) -> None:
    for name in names:
        if name is None or (at := schema.get_field_index(name)) < 0:
            continue
        kind = schema.field(at).type
        if not (is_null(kind) or any(fits(kind) for fits in allowed)):
            raise InvalidRecordError("wrong-type", f"column {name!r} holds {kind}; expected {said}")


def encoded_texts(schema: Any) -> tuple[int, ...]:
    """Places of the dictionary-encoded texts."""
    return tuple(j for j, column in enumerate(schema) if is_dictionary(column.type) and is_text(column.type))


def is_null(kind: Any) -> bool:
    """Whether a type holds nulls only."""
    return bool(types().is_null(kind))


def is_integer(kind: Any) -> bool:
    """Whether a type holds integers."""
    return bool(types().is_integer(kind))


def is_floating(kind: Any) -> bool:
    """Whether a type holds floating numbers."""
    return bool(types().is_floating(kind))


def is_boolean(kind: Any) -> bool:
    """Whether a type holds booleans."""
    return bool(types().is_boolean(kind))


def is_timestamp(kind: Any) -> bool:
    """Whether a type holds timestamps."""
    return bool(types().is_timestamp(kind))


def is_dictionary(kind: Any) -> bool:
    """Whether a type is dictionary-encoded."""
    return bool(types().is_dictionary(kind))
