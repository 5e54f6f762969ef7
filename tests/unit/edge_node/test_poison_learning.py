"""A record that makes learning throw, long after its own step: it is set aside, no innocent one is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.edge_node.alerts import AlertWriter
from services.edge_node.node import Ledger, Node
from services.edge_node.poison import PoisonGuard
from services.edge_node.source_profiles import SourceProfiles
from services.runtime.envelope import Sealer
from services.runtime.log import LogRecord, Partition, ReadRecord
from streamgauge.profiles.profile import load_profile
from streamgauge.stream.context import PartitionContext
from streamgauge.stream.learning import Learner
from streamgauge.stream.quarantine import Observed, Quarantine
from tests.support.edge import NOWHERE, edge_settings
from tests.unit.edge_node.kit import good
from tests.unit.edge_node.test_poison_steps import POISON, throws_if

P = Partition("records", 0)
N, STEP = 40, 4


def record(offset: int) -> LogRecord:
    return ReadRecord(P.topic, P.partition, offset, 2**45, b"k", json.dumps(good(offset)).encode(), ())


def life(directory: Path, profile_path: Path) -> list[bytes]:
    """From the (empty) checkpoint to the end of the log; positions of the dead letters."""
    keys = {"federation_cluster": NOWHERE, "key_file": directory / "k", "aggregator_key_file": directory / "a"}
    settings = edge_settings(directory, profile_path, **keys)
    profile = load_profile(str(profile_path))
    learner = Learner(settings.learning.policy(keep_positions=False), profile.schema.centre(), seed=0)
    guard = PoisonGuard(directory / "marker")
    writer = AlertWriter(settings, profile, Sealer("site/one", 1, None), "alerts")
    node = Node(settings, SourceProfiles(settings), learner, guard, writer, Ledger())
    contexts = {P: PartitionContext.fresh("life", 0, settings.alerts.policy())}
    out = []
    try:
        for start in range(0, N, STEP):
            for part in guard.split({P: [record(i) for i in range(start, start + STEP)]}):
                out += node.step(part, contexts, 0.0)
        learner.to_state()
        guard.saved()
        guard.end()
    finally:
        guard.close()
    return [o.key or b"" for o in out if o.topic.endswith("dead-letters")]


def test_what_waits_to_be_learned_accuses_no_innocent_record(
    tmp_path: Path, profile_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def guilty(seen: Observed) -> bool:
        return POISON in seen.offsets

    monkeypatch.setattr(Quarantine, "observe", throws_if(Quarantine, "observe", guilty))
    letters = None
    for _ in range(6):
        try:
            letters = life(tmp_path, profile_path)
            break
        except RuntimeError:
            continue
    assert letters == [b"records:0:7"]
