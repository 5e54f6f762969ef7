"""The warm-up ends for each partition at a record, whatever the batches and whatever the other partitions."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from schemas import Alert
from services.edge_node.alerts import AlertWriter
from services.edge_node.bundle import Bundle
from services.edge_node.node import Ledger, Node
from services.edge_node.poison import PoisonGuard
from services.edge_node.scorer import Scorer
from services.edge_node.source_profiles import SourceProfiles
from services.runtime.envelope import Sealer
from services.runtime.log import LogRecord, Partition, ReadRecord
from streamgauge.profiles.profile import load_profile
from streamgauge.stream.context import PartitionContext
from streamgauge.stream.learning import Learner
from tests.support.edge import NOWHERE, edge_settings
from tests.unit.edge_node.kit import bad_flow, good

P, Q = Partition("records", 0), Partition("records", 1)
WARM_UP_S = 10.0


class Bench:
    """A node that learns, without its loop."""

    def __init__(self, directory: Path, profile_path: Path, bundle_path: Path) -> None:
        directory.mkdir()
        keys = {"federation_cluster": NOWHERE, "key_file": directory / "k", "aggregator_key_file": directory / "a"}
        self.settings = edge_settings(directory, profile_path, learning={"warm_up_s": WARM_UP_S}, **keys)
        profile = load_profile(str(profile_path))
        learner = Learner(self.settings.learning.policy(keep_positions=False), profile.schema.centre(), seed=0)
        writer = AlertWriter(self.settings, profile, Sealer("site/one", 1, None), "alerts")
        self.guard = PoisonGuard(directory / "marker")
        self.node = Node(self.settings, SourceProfiles(self.settings), learner, self.guard, writer, Ledger())
        self.node.scorer = Scorer(Bundle.load(bundle_path), profile.schema)
        self.contexts = {p: PartitionContext.fresh("life", 0, self.settings.alerts.policy()) for p in (P, Q)}

    def opened(self, *batches: dict[Partition, list[LogRecord]]) -> list[tuple[int, int]]:
        """(partition, offset) of the first record of each alert."""
        out = [o for batch in batches for o in self.node.step(batch, self.contexts, 0.0)]
        alerts = [Alert.read(o.value or b"") for o in out]
        return [(a.first.partition, a.first.offset) for a in alerts if a.state == "opened"]


@pytest.fixture
def bench(tmp_path: Path, profile_path: Path, bundle_path: Path) -> Bench:
    return Bench(tmp_path / "bench", profile_path, bundle_path)


def record(offset: int, second: int, machine: str = "m", bad: bool = False, partition: Partition = P) -> LogRecord:
    value = json.dumps((bad_flow if bad else good)(second, machine)).encode()
    return ReadRecord(partition.topic, partition.partition, offset, 2**45, b"k", value, ())


LOG = [record(0, 0), record(1, 9, "a", bad=True), record(2, 10, "b", bad=True), record(3, 5, "c", bad=True)]
"""The alert of record 1 comes too early, that of record 3 (late) does not: the warm-up ended at record 2."""


@pytest.mark.parametrize("cuts", [(), (1,), (2,), (3,), (1, 2, 3), (1, 3)])
def test_the_first_alert_is_the_same_wherever_batches_end(bench: Bench, cuts: tuple[int, ...]) -> None:
    edges = [0, *cuts, len(LOG)]
    batches = [{P: LOG[a:b]} for a, b in itertools.pairwise(edges)]
    assert bench.opened(*batches) == [(0, 2), (0, 3)]


@pytest.mark.parametrize("other_first", [True, False])
def test_another_partition_does_not_end_it(bench: Bench, other_first: bool) -> None:
    batches = [{P: LOG[:2]}, {Q: [record(0, 500, partition=Q), record(1, 501, "q", bad=True, partition=Q)]}]
    assert bench.opened(*(batches[::-1] if other_first else batches)) == []
    assert bench.node.learning_left_s(bench.contexts) == 1.0
    assert not bench.node.alerting(bench.contexts)
    assert bench.opened({P: LOG[2:]}) == [(0, 2), (0, 3)]
    assert bench.node.alerting(bench.contexts)
