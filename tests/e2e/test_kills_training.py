"""Kill suite (b), training on: nothing is lost, nothing is learned twice, no round hangs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runtime.brokers import LocalBroker
from tests.support.chance import seeded
from tests.support.federation import Clusters, World, kill_somebody, plant_streams
from tests.support.federation_checks import assert_all

KILLS = 3
PER_S = 250


@pytest.fixture
def world(best_broker: LocalBroker, topic_prefix: str, tmp_path: Path) -> Iterator[World]:
    made = World(Clusters.one(best_broker, topic_prefix), tmp_path)
    yield made
    made.close()


def test_kills_in_mid_work_lose_nothing_and_double_nothing(world: World) -> None:
    chance = seeded("training")
    world.start(plant_streams(world, 40_000), PER_S)
    world.until_released(1)
    edges = [chance.choice(world.nodes).service for _ in range(KILLS)]
    victims = [*edges, *[world.aggregator, world.api] * KILLS]
    chance.shuffle(victims)
    for number, victim in enumerate(victims):
        if number == KILLS:  # the rest while alerts flow
            world.until_alerts()
        if number >= KILLS:
            world.judge(chance)
        kill_somebody(world, victim, chance)
    world.until_released(max(2, world.release_seq() + 1))
    world.until_all_read()
    world.until_judged(chance)
    world.stop_all_but_the_api()
    assert_all(world, releases=2)
    world.api.stop()
