"""Where to read on in a log whose offsets are kept in a database or checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple
from uuid import uuid4

from services.runtime.log import Consumer, LogReset, Partition


class ReadPosition(NamedTuple):
    """The next offset to read of a partition, and the life of the topic that it belongs to."""

    next_offset: int
    incarnation: str


def _new_incarnation() -> str:
    return str(uuid4())


def resume(
    consumer: Consumer,
    partitions: Iterable[Partition],
    stored: Mapping[Partition, tuple[int, str]],
    new_incarnation: Callable[[], str] = _new_incarnation,
) -> dict[Partition, ReadPosition]:
    """Where to start reading each partition.

    A stored offset of another life of the topic (another topic id, or behind the log's end where the broker has
    no ids) is not used: reading starts at the new log's beginning, under a new incarnation.

    Args:
        consumer: asked for topic ids, beginnings and ends.
        partitions: what will be read.
        stored: (next offset, incarnation) as kept beside the derived rows.
        new_incarnation: names the life of a topic where the broker has no topic ids.
    """
    positions = {}
    for partition in partitions:
        topic_id = consumer.topic_id(partition.topic)
        offset, incarnation = stored.get(partition, (-1, ""))
        beginning = consumer.beginning(partition)
        same_life = (not topic_id or topic_id == incarnation) and 0 <= offset <= consumer.end(partition)
        if same_life:
            positions[partition] = ReadPosition(max(offset, beginning), incarnation)
        else:
            positions[partition] = ReadPosition(beginning, topic_id or new_incarnation())
    return positions


def after_reset(reset: LogReset, new_incarnation: Callable[[], str] = _new_incarnation) -> str:
    """The incarnation of a log that was replaced while it was read."""
    return reset.topic_id or new_incarnation()
