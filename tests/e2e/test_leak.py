"""What must stay at a site stays there: planted values and names are nowhere on the federation's cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from services.runtime.brokers import LocalBroker
from services.runtime.log import Outgoing
from streamgauge.profiles.decoder import Decoder
from streamgauge.profiles.imputing import Imputer
from streamgauge.profiles.profile import load_profile
from streamgauge.stream.imputation import LastValues
from tests.support.canaries import (
    ASSET,
    CATEGORY,
    ENTITY,
    FLOWS,
    Haystack,
    arrays_of,
    found_in,
    needles,
    rows_found,
    stream,
)
from tests.support.federation import PARTITIONS, Clusters, World
from tests.support.federation_checks import saved_checkpoint
from tests.support.processes import alerts_in, until
from tests.support.site import Site

PER_S, TOTAL = 250, 30_000
PLAIN = {ENTITY, CATEGORY, ASSET, "malformed", *(f"digits of {flow}" for flow in FLOWS)}


@pytest.fixture
def world(
    best_broker: LocalBroker, own_embedded: LocalBroker, topic_prefix: str, tmp_path: Path
) -> Iterator[World]:
    made = World(Clusters(Site(best_broker, topic_prefix), Site(own_embedded, topic_prefix)), tmp_path)
    yield made
    made.close()


def test_nothing_of_a_record_leaves_its_site(world: World) -> None:
    topics = [node.topic for node in world.nodes]
    world.start([stream(topic, TOTAL, seed, PARTITIONS) for seed, topic in enumerate(topics)], PER_S)
    world.until_released(2)
    world.until_alerts()
    _judge_everything(world)
    world.until_all_read()
    world.stop_all_but_the_api()
    world.api.stop()
    records, federation = world.clusters.records, world.clusters.federation

    at_home = Haystack.of(records, (*topics, records.topics.alerts, records.topics.dead_letters))
    assert at_home.found() >= PLAIN
    assert Haystack.of(records, [records.topics.alerts]).found() >= {ASSET}
    assert "malformed" in Haystack.of(records, [records.topics.dead_letters]).found()

    verdicts = Haystack.of(records, [records.topics.feedback])
    assert verdicts.records[records.topics.feedback]
    assert verdicts.found() == set(), "who judged an alert, and what they wrote, stays in the API's database"

    shared = Haystack.of(federation, federation.names())
    topics_used = {name for name, found in shared.records.items() if found}
    assert {federation.topics.updates, federation.topics.votes, federation.topics.models} <= topics_used
    assert shared.found() == set()
    assert not [topic for topic in topics if shared.holds(topic.encode())], (
        "names of source topics stay at home, too"
    )
    rows = np.concatenate([_rows(world, topic) for topic in topics])
    assert rows_found(shared.arrays(), rows) == 0

    _prove_that_the_search_finds(world, rows)


def _judge_everything(world: World) -> None:
    """A verdict on each alert there is, whose texts are canaries."""
    for number, alert in enumerate(alerts_in(world.api) or {}):
        words = {"attack_type": ENTITY, "comment": ASSET, "by": CATEGORY}
        verdict = {"verdict": "false_alarm" if number % 2 else "attack", **words}
        assert world.api.post(f"/alerts/{alert}/verdict", verdict)
    learned = "streamgauge_edge_verdicts_total"
    until(lambda: any(node.service.metric(learned) for node in world.nodes), world.log_tails)


def _rows(world: World, topic: str) -> NDArray[np.float32]:
    """All records of a topic as the detector could have seen them: encoded, and scaled by the release."""
    profile = load_profile(str(world.profile))
    records = world.clusters.records.read(topic)
    decoded = Decoder(profile).decode(records)
    x = Imputer(profile).impute(decoded, LastValues(10_000)).encode(profile.schema)
    bundle = saved_checkpoint(world.nodes[0]).bundle
    assert bundle is not None
    both: NDArray[np.float32] = np.concatenate([x, bundle.model.scaler(profile.schema).apply(x)])
    whole: NDArray[np.float32] = both[~np.isnan(both).any(axis=1)]
    return whole


def _prove_that_the_search_finds(world: World, rows: NDArray[np.float32]) -> None:
    """It finds learned rows in a node's own checkpoint, and planted bytes in any part of a record."""
    checkpoint = (world.nodes[0].state_dir / "checkpoint.safetensors").read_bytes()
    assert rows_found(arrays_of(checkpoint), rows) > 0
    assert {f"{flow} as <f" for flow in FLOWS} <= found_in(checkpoint)
    site = world.clusters.federation
    site.create("scratch", partitions=1)
    everything = b"".join(needles().values())
    for planted in (
        Outgoing("scratch", everything, b"v"),
        Outgoing("scratch", b"k", everything),
        Outgoing("scratch", b"k", b"v", (("h", everything),)),
    ):
        site.recreate("scratch")
        site.send([planted])
        assert Haystack.of(site, ["scratch"]).found() == needles().keys()
