"""With a pinned bundle a replay 100 times as fast as life gives the alerts of one in real time and a backtest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from services.runtime.brokers import LocalBroker
from streamgauge.profiles.profile import load_profile
from streamgauge.stream.grouping import GroupingPolicy
from tests.support.edge import alerts_of
from tests.support.plant import plant_records, trained_bundle, write_profile
from tests.support.plant_file import Said, said_by, said_by_chain, write_csv
from tests.support.processes import EDGE, Service, until
from tests.support.site import Site

DEADLINE_S = 120
POLICY = GroupingPolicy(gap_s=0.5, max_records=8, max_duration_s=5.0)


def test_event_time_decides_not_the_clock(best_broker: LocalBroker, topic_prefix: str, tmp_path: Path) -> None:
    """1,200 records of 12 s of event time."""
    path = str(write_profile(tmp_path))
    profile = load_profile(path)
    bundle = trained_bundle("autoencoder", profile.schema)
    bundle.save(tmp_path / "bundle")
    file = write_csv(tmp_path / "plant.csv", plant_records(1200, seed=5, step_s=0.01))
    expected = said_by_chain(file, profile, bundle, POLICY)
    assert len(expected) > 10

    site, topics = Site(best_broker, topic_prefix), [f"{topic_prefix}{name}" for name in ("life", "fast")]
    for topic in topics:
        site.create(topic, partitions=1)
    settings: dict[str, object] = {
        "RECORDS__BOOTSTRAP_SERVERS": site.servers,
        "TOPIC_PREFIX": topic_prefix,
        "TOPICS": topics,
        "PROFILE": path,
        "PINNED_BUNDLE": str(tmp_path / "bundle"),
        "NODE": "site/one",
        "STATE_DIR": str(tmp_path / "state"),
        "ALERTS": {
            "gap_s": POLICY.gap_s,
            "max_records": POLICY.max_records,
            "max_duration_s": POLICY.max_duration_s,
        },
    }
    edge = Service("edge", EDGE, settings, tmp_path)
    edge.start()
    try:
        edge.until_ready()
        replays = [
            replay(path, file, topic, site.servers, speed) for topic, speed in zip(topics, (1, 100), strict=True)
        ]
        for process in replays:
            _, errors = process.communicate(timeout=DEADLINE_S)
            assert process.returncode == 0, errors
        until(lambda: [said_on(site, topic) for topic in topics] == [expected] * 2, edge.log_tail, DEADLINE_S)
    finally:
        edge.stop()


def replay(profile: str, file: Path, topic: str, servers: str, speed: int) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "services.cli", "replay", profile, str(file), "--topic", topic]
    words += ["--bootstrap-servers", servers, "--speed", f"{speed}x"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMGAUGE_")}
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def said_on(site: Site, topic: str) -> Said:
    alerts = alerts_of(site.read(site.topics.alerts))
    return said_by(alert for alert in alerts.values() if alert.first.topic == topic)
