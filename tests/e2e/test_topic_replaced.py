"""A topic of records is deleted and made again under a running node.

On Kafka only: the embedded broker makes a deleted topic again by itself as soon as its reader asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas import Alert
from services.runtime.brokers import LocalBroker
from tests.support.edge import assert_same_alerts
from tests.support.offline import Offline
from tests.support.pinned import PARTITIONS, PinnedWorld
from tests.support.plant import messages, plant_records
from tests.support.processes import alerts_in, until, versions


@pytest.fixture
def world(kafka_broker: LocalBroker, topic_prefix: str, tmp_path: Path) -> Iterator[PinnedWorld]:
    made = PinnedWorld(kafka_broker, topic_prefix, tmp_path, "autoencoder", per_s=2000, total=3000)
    yield made
    made.close()


def test_the_first_record_of_the_new_topic_is_scored_and_no_id_collides(world: PinnedWorld) -> None:
    site, edge = world.site, world.edge("site/one")
    for service in (world.api, edge):
        service.start()
    site.send(world.records)
    first = world.offline(world.records)
    until(lambda: versions(alerts_in(world.api)) == versions(first.alerts), world.log_tails)

    site.recreate(world.topic)
    records = plant_records(3000, seed=1)
    bad = next(i for i, record in enumerate(records) if record["label"] == "bad")
    second = list(messages(world.topic, records[bad:], PARTITIONS))  # begins with an abnormal record
    site.send(second)
    group, ends = world.group_of("site/one"), site.ends(world.topic)
    until(lambda: site.has_committed(group, ends), world.log_tails)

    new = world.offline(second)  # with the new topic's id
    wanted = first.alerts.keys() | new.alerts.keys()
    until(lambda: len(alerts_in(world.api) or ()) >= len(wanted), world.log_tails)
    edge.stop()
    shown = until(lambda: _once_the_old_log_is_closed(world, first), world.log_tails)
    began = {
        (alert.first.partition, alert.first.offset) for key, alert in shown.items() if key not in first.alerts
    }
    assert (second[0].partition, 0) in began
    until(lambda: versions(alerts_in(world.api)).items() >= versions(new.alerts).items(), world.log_tails)
    shown = alerts_in(world.api) or {}
    assert shown.keys() == wanted
    assert_same_alerts(new.alerts, {key: shown[key] for key in new.alerts})
    ended = {key: alert for key, alert in first.alerts.items() if alert.state == "closed"}
    assert_same_alerts(ended, {key: shown[key] for key in ended})
    world.api.stop()


def _once_the_old_log_is_closed(world: PinnedWorld, first: Offline) -> dict[str, Alert]:
    """What the API shows once no alert of the old log is open; nothing before."""
    shown = alerts_in(world.api) or {}
    if any(key not in shown or shown[key].state != "closed" for key in first.alerts):
        return {}
    open_before = [key for key, alert in first.alerts.items() if alert.state != "closed"]
    assert {shown[key].close_reason for key in open_before} <= {"log_replaced"}
    return shown
