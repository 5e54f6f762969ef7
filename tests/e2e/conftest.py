"""Brokers that a test may stop, and the random generator of each test."""

from __future__ import annotations

import random

import pytest

from services.runtime.brokers import LocalBroker, kafka
from tests.support.chance import seeded


@pytest.fixture
def own_broker(request: pytest.FixtureRequest) -> LocalBroker:
    """A broker of this test alone: a real Kafka where Java and Maven are there, else the embedded one."""
    name = "own_kafka" if kafka.missing() is None else "own_embedded"
    broker: LocalBroker = request.getfixturevalue(name)
    return broker


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    return seeded(request.node.name)
