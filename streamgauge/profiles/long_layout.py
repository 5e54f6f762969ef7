"""Profiles of sources that send one tag a message: which fields name tag and value, how long a tick is."""

from __future__ import annotations

from dataclasses import dataclass

from streamgauge.errors import ConfigurationError
from streamgauge.profiles.tables import Mistakes, Table

SHORTEST_TICK_S = 0.001


@dataclass(frozen=True, slots=True)
class LongLayout:
    """How messages of one tag each become records.

    Attributes:
        tag: JSON field with the name of the tag; the profile's features name tags in their `field`.
        value: JSON field with its value; null means missing.
        tick_s: length of a tick in seconds of event time; an entity's messages of one tick make one record.
        wait_s: how long a tick that lacks tags stays open after its end, by the entity's own event time.
    """

    tag: str
    value: str
    tick_s: float
    wait_s: float = 0.0


def read_long(table: Table) -> LongLayout:
    """The table ``[long]``.

    Raises:
        ConfigurationError: a key is missing or out of its limits.
    """
    mistakes = Mistakes()
    read = mistakes.read
    tag, value = read(lambda: table.text("tag"), None), read(lambda: table.text("value"), None)
    tick_s = read(lambda: _at_least(table, "tick_s", table.number("tick_s"), SHORTEST_TICK_S), 1.0)
    wait_s = read(lambda: _at_least(table, "wait_s", table.number("wait_s", 0.0), 0.0), 0.0)
    read(table.finish, None)
    if tag is not None and tag == value:
        mistakes.add(ConfigurationError(f"{table.where}: tag and value are both {tag!r}; name two fields"))
    mistakes.finish()
    assert tag is not None
    assert value is not None
    return LongLayout(tag, value, tick_s, wait_s)


def _at_least(table: Table, key: str, seconds: float, least: float) -> float:
    if seconds < least:
        raise table.error(key, seconds, f"seconds, at least {least:g}")
    return seconds
