"""Kill suite (a), bundle pinned: after kill -9 the API shows the alerts of one offline pass, id by id."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runtime.brokers import LocalBroker
from tests.support.chance import seeded
from tests.support.edge_process import STEPS
from tests.support.pinned import PinnedWorld, kill_at_random, kill_at_step
from tests.support.processes import until

KILLS = 3


@pytest.fixture
def world(best_broker: LocalBroker, topic_prefix: str, tmp_path: Path) -> Iterator[PinnedWorld]:
    made = PinnedWorld(best_broker, topic_prefix, tmp_path, "autoencoder", per_s=400, total=60_000)
    yield made
    made.close()


@pytest.fixture
def kafka_world(kafka_broker: LocalBroker, topic_prefix: str, tmp_path: Path) -> Iterator[PinnedWorld]:
    made = PinnedWorld(kafka_broker, topic_prefix, tmp_path, "autoencoder", per_s=400, total=60_000)
    yield made
    made.close()


def test_kills_of_the_edge_node_change_no_alert(world: PinnedWorld) -> None:
    chance = seeded("pinned")
    world.feeder.start()
    world.api.start()
    edge = world.edge("site/one")
    edge.start()
    for _ in range(KILLS):
        kill_at_random(edge, chance)
    kill_at_step(edge, chance.choice(STEPS), chance.randint(1, 8))
    world.feeder.finish()
    world.assert_api_shows_the_offline_pass()


def test_a_dead_worker_of_a_group_changes_no_alert(kafka_world: PinnedWorld) -> None:
    world = kafka_world
    world.feeder.start()
    world.api.start()
    workers = [world.edge(f"site/{name}", "group") for name in ("one", "two")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.until_ready()
    group = world.group_of("", "group")
    until(lambda: len(world.site.committed(group, world.topic)) > 1, workers[0].log_tail)
    workers[1].kill()
    ends = world.site.ends(world.topic)
    until(lambda: world.site.has_committed(group, ends), workers[0].log_tail)  # the other one reads all now
    workers[1].start()
    workers[1].until_ready()
    world.feeder.finish()
    world.assert_api_shows_the_offline_pass()
