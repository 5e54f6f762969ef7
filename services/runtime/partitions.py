"""Which partition a key belongs to, as Java's clients and kafka-python's producer choose it."""

from __future__ import annotations

from functools import lru_cache

from kafka.partitioner import murmur2

_KNOWN_KEYS = 65_536


def partition_of(key: bytes, partitions: int) -> int:
    """The partition a key's messages go to, so that recorded and live messages of an entity lie in one.

    Java's clients, Kafka Connect and kafka-python choose it so by default; librdkafka does with
    ``partitioner=murmur2_random``.

    Args:
        key: of the message; an empty one is a key like any other.
        partitions: how many the topic has, at least 1.
    """
    return _positive(key) % partitions


@lru_cache(maxsize=_KNOWN_KEYS)
def _positive(key: bytes) -> int:
    # Some microseconds in pure Python, and a stream has few keys; the bound is for one that has many.
    return int(murmur2(key)) & 0x7FFFFFFF
