"""A verdict's whole way on a real broker: API, `feedback`, edge node, the weights that are trained next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from schemas import Verdict
from services.edge_node.scorer import Scorer
from services.runtime.brokers import LocalBroker
from streamgauge.profiles.profile import load_profile
from streamgauge.stream.learning import Learner, LearningPolicy
from tests.support.federation import Clusters, World, plant_streams
from tests.support.federation_checks import assert_verdicts_count_once, saved_checkpoint
from tests.support.processes import alerts_in, until

PER_S, TOTAL, JUDGED = 250, 60_000, 6


@pytest.fixture
def world(best_broker: LocalBroker, topic_prefix: str, tmp_path: Path) -> Iterator[World]:
    made = World(Clusters.one(best_broker, topic_prefix), tmp_path, ("site-a/1",), "mlp")
    yield made
    made.close()


def test_the_next_weights_have_learned_from_the_verdicts(world: World) -> None:
    (node,) = world.nodes
    world.start(plant_streams(world, TOTAL), PER_S)
    world.until_released(2)
    until(lambda: len(alerts_in(world.api) or {}) >= JUDGED, world.log_tails)
    before = saved_checkpoint(node)
    alerts = sorted(alerts_in(world.api) or {})[:JUDGED]
    for alert in alerts:
        assert world.api.post(f"/alerts/{alert}/verdict", {"verdict": "false_alarm", "by": "test"})
        world.verdicts[alert] = "false_alarm"
    until(lambda: node.service.metric("streamgauge_edge_verdicts_total") >= JUDGED, world.log_tails)
    world.until_released(world.release_seq() + 4)
    world.until_all_read()
    world.stop_all_but_the_api()
    assert_verdicts_count_once(world)
    sent = world.clusters.records.read(world.clusters.records.topics.feedback)
    assert [str(Verdict.read(record.value or b"").alert_id) for record in sent] == alerts
    after = saved_checkpoint(node)
    schema = load_profile(str(world.profile)).schema
    assert after.learner is not None
    assert before.bundle is not None
    assert after.bundle is not None
    x = Learner.from_state(after.learner, LearningPolicy(), schema.centre(), 0).judged.rows(0.0)["x"]
    assert len(x) >= JUDGED
    old, new = (np.median(Scorer(each.bundle, schema).raw_scores(x)) for each in (before, after) if each.bundle)
    # Misbehaviour is not learned as normal but for these verdicts: no other training lowers its score.
    assert new < old
    world.api.stop()
