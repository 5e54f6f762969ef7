"""A key's partition is the one that other clients choose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner import DefaultPartitioner

from services.runtime.partitions import partition_of


class Topic:
    """What the partitioner asks of a cluster."""

    def __init__(self, partitions: int) -> None:
        self._partitions = set(range(partitions))

    def topics(self) -> set[str]:
        return {"t"}

    def partitions_for_topic(self, topic: str) -> set[int]:
        return self._partitions

    available_partitions_for_topic = partitions_for_topic


@given(st.binary(max_size=40), st.integers(1, 100))
def test_it_is_that_of_kafka_pythons_default_partitioner(key: bytes, partitions: int) -> None:
    chosen = DefaultPartitioner().partition("t", key, key, None, None, Topic(partitions))
    assert partition_of(key, partitions) == chosen


@pytest.mark.parametrize(
    ("key", "hashed"),
    # From the tests of Apache Kafka's Java client (UtilsTest.testMurmur2).
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536)],
)
def test_known_values_of_the_java_client(key: bytes, hashed: int) -> None:
    assert partition_of(key, 2**31) == hashed & 0x7FFFFFFF
