"""Strict reading of TOML tables: wrong types and unknown keys become one clear line."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from streamgauge.errors import ConfigurationError

_ABSENT = object()
T = TypeVar("T")
U = TypeVar("U")


class Table:
    """A TOML table whose keys are taken one by one; `finish` refuses what nobody took.

    Args:
        where: what to call the table in messages, e.g. ``profile 'nsl-kdd' [time]``.
        data: the parsed table. Not modified.
    """

    def __init__(self, where: str, data: Mapping[str, Any]) -> None:
        self.where = where
        self._data = data
        self._known: list[str] = []

    def has(self, key: str) -> bool:
        """Whether the key is given; counts as known from now on."""
        self._known.append(key)
        return key in self._data

    def text(self, key: str, default: Any = _ABSENT) -> str:
        """A string that is not empty."""
        value = self._take(key, default)
        if value is default:
            return str(value)
        if not isinstance(value, str) or not value:
            raise self.error(key, value, "a text that is not empty")
        return value

    def number(self, key: str, default: Any = _ABSENT) -> float:
        """A finite number."""
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.error(key, value, "a finite number")
        return float(value)

    def texts(self, key: str, default: Any = _ABSENT) -> tuple[str, ...]:
        """A list of strings."""
        value = self._take(key, default)
        if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
            raise self.error(key, value, "a list of texts, each in quotes")
        return tuple(value)

    def table(self, key: str) -> Table:
        """A table within this one."""
        value = self._take(key, _ABSENT)
        if not isinstance(value, dict):
            raise self.error(key, value, f"a table [{key}]")
        return Table(f"{self.where} [{key}]", value)

    def tables(self, key: str) -> Iterator[Table]:
        """A list of tables; none if the key is absent."""
        value = self._take(key, ())
        if not isinstance(value, list | tuple) or not all(isinstance(v, dict) for v in value):
            raise self.error(key, value, f"tables [[{key}]]")
        for i, entry in enumerate(value):
            yield Table(f"{self.where} [[{key}]] {entry.get('field', i + 1)!r}", entry)

    def error(self, key: str, value: object, allowed: str) -> ConfigurationError:
        """The error that says what `key` may be."""
        return ConfigurationError(f"{self.where}: {key} = {value!r}; allowed: {allowed}")

    def finish(self) -> None:
        """Refuse keys that nobody took.

        Raises:
            ConfigurationError: a line for each, with the nearest known key.
        """
        problems = []
        for key in self._data:
            if key not in self._known:
                near = difflib.get_close_matches(key, self._known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(self._known)}"
                problems.append(f"{self.where}: unknown key {key!r}; {hint}")
        if problems:
            raise ConfigurationError("\n".join(problems))

    def _take(self, key: str, default: Any) -> Any:
        self._known.append(key)
        value = self._data.get(key, default)
        if value is _ABSENT:
            raise ConfigurationError(f"{self.where}: {key!r} is missing; add it")
        return value


class Mistakes:
    """Collects what is wrong in several tables, so that a person sees all of it at once."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def read(self, get: Callable[[], T], instead: U) -> T | U:
        """What `get` gives; if that is a mistake, `instead`, for now."""
        try:
            return get()
        except ConfigurationError as error:
            self.add(error)
            return instead

    def add(self, error: ConfigurationError) -> None:
        """One that was found otherwise."""
        self._found.append(str(error))

    def finish(self) -> None:
        """Raise what was found.

        Raises:
            ConfigurationError: a line for each mistake.
        """
        if self._found:
            raise ConfigurationError("\n".join(self._found))
