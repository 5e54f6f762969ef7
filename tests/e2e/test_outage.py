"""The broker is stopped for half a minute and started again with its data: all resume by themselves.

On Kafka only: the embedded broker loses its last writes when it is stopped, so that nodes see a log replaced.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runtime.brokers import LocalBroker
from tests.support.federation import Clusters, World, plant_streams
from tests.support.federation_checks import assert_all
from tests.support.pinned import PinnedWorld

OUTAGE_S = 30.0


@pytest.fixture
def pinned(own_kafka: LocalBroker, topic_prefix: str, tmp_path: Path) -> Iterator[PinnedWorld]:
    directory = tmp_path / "pinned"
    directory.mkdir()
    made = PinnedWorld(own_kafka, f"pinned-{topic_prefix}", directory, "autoencoder", per_s=100, total=30_000)
    yield made
    made.close()


@pytest.fixture
def learning(own_kafka: LocalBroker, topic_prefix: str, tmp_path: Path) -> Iterator[World]:
    directory = tmp_path / "learning"
    directory.mkdir()
    made = World(Clusters.one(own_kafka, f"learning-{topic_prefix}"), directory, names=("site-a/1",))
    yield made
    made.close()


def test_all_resume_after_an_outage_and_nothing_is_lost(
    own_kafka: LocalBroker, pinned: PinnedWorld, learning: World
) -> None:
    edge = pinned.edge("site/one")
    pinned.feeder.start()
    for service in (pinned.api, edge):
        service.start()
    learning.start(plant_streams(learning, 30_000), per_s=200)
    learning.until_released(2)
    edge.until_ready()
    before = learning.release_seq()

    own_kafka.stop()
    threading.Event().wait(OUTAGE_S)
    own_kafka.start()

    learning.until_released(before + 1)
    learning.until_alerts()
    learning.until_all_read()
    learning.stop_all_but_the_api()
    assert_all(learning, releases=before + 1)
    learning.api.stop()
    pinned.feeder.finish()
    pinned.assert_api_shows_the_offline_pass()
