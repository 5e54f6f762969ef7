"""Profiles of sources that send one tag a message: which fields name tag and value, how long a tick is."""

from __future__ import annotations

from dataclasses import dataclass

from streamgauge.errors import ConfigurationError
from streamgauge.profiles.tables import Table

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
    tag, value, tick_s = table.text("tag"), table.text("value"), table.number("tick_s")
    wait_s = table.number("wait_s", 0.0)
    if tick_s < SHORTEST_TICK_S:
        raise table.error("tick_s", tick_s, f"seconds, at least {SHORTEST_TICK_S:g}")
    if wait_s < 0:
        raise table.error("wait_s", wait_s, "seconds, at least 0")
    if tag == value:
        raise ConfigurationError(f"{table.where}: tag and value are both {tag!r}; name two fields")
    table.finish()
    return LongLayout(tag, value, tick_s, wait_s)
