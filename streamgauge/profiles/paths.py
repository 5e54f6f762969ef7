"""Names of JSON fields: a key of the record as it stands, or ``$.a.b`` for a key within objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Any

import msgspec

from streamgauge.errors import ConfigurationError

ROOT = "$."
_ABSENT = object()


def path_of(name: str) -> tuple[str, ...]:
    """The keys that lead to a field, outermost first. Without ``$.`` a dot is part of the key (Zeek's are so).

    Raises:
        ConfigurationError: an empty key in a path.
    """
    if not name.startswith(ROOT):
        return (name,)
    keys = tuple(name.removeprefix(ROOT).split("."))
    if "" in keys:
        raise ConfigurationError(f"field {name!r} has an empty key; a path is written $.outer.inner")
    return keys


def find(record: Mapping[str, Any], name: str, default: Any = None) -> Any:
    """The value of a field in a parsed record, or the default."""
    value: Any = record
    for key in path_of(name):
        value = value.get(key, _ABSENT) if isinstance(value, Mapping) else _ABSENT
        if value is _ABSENT:
            return default
    return value


def path_problems(names: Iterable[str]) -> Iterator[str]:
    """What is wrong with the names of fields: an empty key, or two of which one would be a value and an object."""
    leaves: dict[tuple[str, ...], str] = {}
    for name in names:
        try:
            leaves[path_of(name)] = name
        except ConfigurationError as error:
            yield str(error)
    for path, name in leaves.items():
        for length in range(1, len(path)):
            if path[:length] in leaves:
                yield f"field {name!r} lies within {leaves[path[:length]]!r}; keep one of them"


def record_struct(types: Mapping[str, Any]) -> tuple[type[msgspec.Struct], Callable[[Any], tuple[Any, ...]]]:
    """A struct with these fields, all None where absent, and what takes their values out, in their order.

    Where no field is nested, taking them out is one call in C; else a getter for each.

    Raises:
        AttributeError: by the second, if an object of a path is null; see `flattened`.
    """
    paths = {path_of(name): kind for name, kind in types.items()}
    if all(len(path) == 1 for path in paths):
        flat = {path[0]: kind for path, kind in paths.items()}
        return _struct(flat, frozen=False), msgspec.structs.astuple
    tree: dict[str, Any] = {}
    for path, kind in paths.items():
        level = tree
        for key in path[:-1]:
            level = level.setdefault(key, {})
        level[path[-1]] = kind
    getters = []
    for path in paths:
        level, names = tree, []
        for key in path:
            names.append(f"f{list(level).index(key)}")
            level = level[key]
        getters.append(".".join(names))
    return _struct(tree, frozen=True), attrgetter(*getters) if len(getters) > 1 else _single(getters[0])


def _single(name: str) -> Callable[[Any], tuple[Any, ...]]:
    get = attrgetter(name)
    return lambda record: (get(record),)


def _struct(tree: Mapping[str, Any], frozen: bool) -> type[msgspec.Struct]:
    fields: list[tuple[str, Any, Any]] = []
    for i, kind in enumerate(tree.values()):
        if isinstance(kind, dict):
            inner = _struct(kind, frozen)
            fields.append((f"f{i}", inner | None, inner()))
        else:
            fields.append((f"f{i}", kind, None))
    names = {f"f{i}": key for i, key in enumerate(tree)}
    return msgspec.defstruct("Record", fields, rename=names, gc=False, frozen=frozen)


def flattened(record: Any, types: Mapping[str, Any]) -> tuple[Any, ...]:
    """The values of a record in which an object of a path is null, as if that were absent."""
    plain = msgspec.to_builtins(record)
    return tuple(find(plain, name) for name in types)
