"""Checkpoint and bundle files: exact, of this node only, and honest when they do not fit."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.edge_node.build import Hooks, begin_incarnation
from services.edge_node.bundle import Bundle
from services.edge_node.checkpoint import Checkpoint
from services.edge_node.counts import Counts, TopicCounts
from services.edge_node.loop import checkpoint, checkpoint_path
from services.edge_node.tasks import Answer
from services.runtime.errors import SettingsError
from services.runtime.log import Partition
from services.runtime.tensorfile import dump_tensors, load_tensors
from streamgauge.errors import StateError
from streamgauge.features import FeatureSchema, NumericFeature
from tests.support.edge import at_end, edge_settings, memory_broker
from tests.support.plant import messages, plant_profile, plant_records
from tests.unit.edge_node.kit import RunningNode, Scored, good, send

IDENTITY = {"node": "site/one", "federation": "default", "detector": "autoencoder", "schema_hash": "0" * 64}

COUNTED = TopicCounts(10, Counter({"bad-time": 2}), Counter({("flow", "last"): 3}), Counter({"late": 1}))


def full(bundle: Bundle) -> Checkpoint:
    arrays = {"a": np.array([np.nan, np.inf, -0.0]), "empty": np.zeros((0, 3), np.float32), "i": np.arange(3)}
    return Checkpoint(
        identity=IDENTITY,
        contexts={Partition("records", 3): {"next_offset": 7, "open": [1.5, None, "ä"]}},
        sequence=4,
        counts=Counts(2, 1, defaultdict(TopicCounts, records=COUNTED)),
        bundle=bundle,
        answers=[Answer("update", "3/a", b"\x00\xffbytes"), Answer("vote", "4/b", b"")],
        learner=({"records_learned": 5}, arrays),
        previous={"layer.weight": np.array([[1.5, -2.0]], np.float32)},
    )


def test_a_checkpoint_comes_back_exactly(tmp_path: Path, bundle_path: Path) -> None:
    path, before = tmp_path / "checkpoint", full(Bundle.load(bundle_path))
    before.save(path)
    after = Checkpoint.load(path, IDENTITY)
    assert _small(after) == _small(before)
    assert after.bundle is not None
    assert before.bundle is not None
    assert after.bundle.to_bytes() == before.bundle.to_bytes()
    assert after.learner is not None
    assert before.learner is not None
    assert after.learner[0] == before.learner[0]
    assert after.previous is not None
    assert before.previous is not None
    loaded_arrays = after.learner[1] | after.previous
    for name, array in (before.learner[1] | before.previous).items():
        loaded = loaded_arrays[name]
        assert (loaded.tobytes(), loaded.dtype, loaded.shape) == (array.tobytes(), array.dtype, array.shape)
        assert loaded.flags.writeable
    again = tmp_path / "again"
    after.save(again)
    assert again.read_bytes() == path.read_bytes()


def _small(checkpoint: Checkpoint) -> Checkpoint:
    return replace(checkpoint, learner=None, bundle=None, previous=None)


def test_no_file_is_an_empty_checkpoint(tmp_path: Path) -> None:
    assert Checkpoint.load(tmp_path / "none", IDENTITY) == Checkpoint(IDENTITY)


@pytest.mark.parametrize("name", IDENTITY)
def test_another_identity_is_refused_by_name_and_values(tmp_path: Path, name: str) -> None:
    path = tmp_path / "checkpoint"
    Checkpoint(IDENTITY).save(path)
    with pytest.raises(
        StateError, match=rf"{name} was '{IDENTITY[name]}' and is 'other'.*choose another state_dir"
    ):
        Checkpoint.load(path, {**IDENTITY, name: "other"})


def rewritten(path: Path, **changes: Any) -> None:
    values, arrays = load_tensors(path.read_bytes())
    path.write_bytes(dump_tensors({k: v for k, v in {**values, **changes}.items() if v != "gone"}, arrays))


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    Checkpoint(IDENTITY).save(path)
    rewritten(path, format=1)
    with pytest.raises(StateError, match=r"checkpoint has format 1, this build reads 2"):
        Checkpoint.load(path, IDENTITY)


@pytest.mark.parametrize("content", [b"", b"x" * 7, b"\xff" * 100, (10**9).to_bytes(8, "little") + b"{}"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "checkpoint"
    path.write_bytes(content)
    with pytest.raises(StateError, match=r"checkpoint cannot be read.*restore it from a backup"):
        Checkpoint.load(path, IDENTITY)
    with pytest.raises(StateError, match=r"bundle .*checkpoint cannot be read"):
        Bundle.load(path)


@pytest.mark.parametrize("key", ["contexts", "counts", "answers", "learner", "bundle", "identity"])
def test_a_file_with_a_part_missing_is_named(tmp_path: Path, key: str) -> None:
    path = tmp_path / "checkpoint"
    Checkpoint(IDENTITY).save(path)
    rewritten(path, **{key: "gone"})
    with pytest.raises(StateError, match=r"checkpoint is (damaged|not a checkpoint)"):
        Checkpoint.load(path, IDENTITY)


def test_a_value_that_is_no_object_is_not_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    path.write_bytes(dump_tensors([1], {}))
    with pytest.raises(StateError, match="is not a checkpoint"):
        Checkpoint.load(path, IDENTITY)


# -- bundles ---------------------------------------------------------------------------------------------


def test_a_bundle_comes_back_exactly_and_its_id_is_that_of_its_content(tmp_path: Path, bundle_path: Path) -> None:
    bundle = Bundle.load(bundle_path)
    bundle.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == bundle_path.read_bytes()
    assert Bundle.load(tmp_path / "again").bundle_id == bundle.bundle_id
    assert bundle.info.threshold is not None
    raised = replace(bundle.info.threshold, value=bundle.info.threshold.value * 2)
    assert replace(bundle, info=replace(bundle.info, threshold=raised)).bundle_id != bundle.bundle_id


def test_a_bundle_of_another_schema_is_refused(bundle_path: Path) -> None:
    other = FeatureSchema((NumericFeature("x", 0, 1),))
    with pytest.raises(StateError, match=rf"was made for schema .* the profile has {other.hash[:12]}"):
        Bundle.load(bundle_path).make_detector(other)


def test_a_bundle_that_is_not_finite_is_refused(tmp_path: Path, bundle_path: Path) -> None:
    bundle = Bundle.load(bundle_path)
    next(iter(bundle.model.weights.values()))[...] = np.nan
    bundle.save(tmp_path / "bundle")
    with pytest.raises(StateError, match="not finite"):
        Bundle.load(tmp_path / "bundle")


def test_a_missing_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"bundle .*nowhere cannot be read"):
        Bundle.load(tmp_path / "nowhere")


# -- a running node --------------------------------------------------------------------------------------


def plain(saved: Checkpoint) -> str:
    return json.dumps(list(saved.contexts.items()), sort_keys=True)


def test_the_state_of_a_running_node_survives(tmp_path: Path, profile_path: Path, bundle_path: Path) -> None:
    broker = memory_broker("records", 2)
    broker.producer().deliver(list(messages("records", plant_records(600), 2)))
    settings = edge_settings(
        tmp_path / "state", profile_path, pinned_bundle=bundle_path, checkpoint_interval_s=3600
    )
    node = RunningNode(settings, broker)
    node.turns(lambda: at_end(node.edge))
    before = checkpoint(node.loop)
    node.end()
    again = RunningNode(settings, broker)
    after = checkpoint(again.loop)
    assert plain(after) == plain(before)
    assert after.counts == before.counts
    assert after.counts.scored > 500
    again.crash()


def test_two_nodes_cannot_share_a_state_directory(tmp_path: Path, profile_path: Path, bundle_path: Path) -> None:
    broker = memory_broker("records", 1)
    settings = edge_settings(tmp_path / "state", profile_path, pinned_bundle=bundle_path)
    node = RunningNode(settings, broker)
    with pytest.raises(SettingsError, match=r"STATE_DIR=.*state: another node uses it; give each its own"):
        RunningNode(settings, broker)
    node.crash()
    RunningNode(settings, broker).crash()


def test_the_checkpoint_counts_even_where_the_commit_is_ahead(
    tmp_path: Path, profile_path: Path, bundle_path: Path
) -> None:
    broker = memory_broker("records", 1)
    settings = edge_settings(
        tmp_path / "state", profile_path, pinned_bundle=bundle_path, checkpoint_interval_s=3600
    )
    send(broker, *map(good, range(5)))
    first = RunningNode(settings, broker)
    first.turns(lambda: at_end(first.edge))
    first.loop.save()
    send(broker, *map(good, range(5, 9)))
    first.turns(lambda: at_end(first.edge))
    first.loop.commit()
    first.crash()
    ledger = Scored()
    second = RunningNode(settings, broker, Hooks(ledger=ledger))
    second.turns(lambda: at_end(second.edge))
    assert [offset for _, offset in ledger.offsets] == [5, 6, 7, 8]
    assert second.loop.node.counts.scored == 9
    second.crash()


def test_the_schema_of_the_profile_is_part_of_the_identity(
    tmp_path: Path, profile_path: Path, bundle_path: Path
) -> None:
    settings = edge_settings(tmp_path / "state", profile_path, pinned_bundle=bundle_path)
    (tmp_path / "state").mkdir()
    identity = {**IDENTITY, "schema_hash": plant_profile().schema.hash}
    Checkpoint({**identity, "schema_hash": "1" * 64}).save(checkpoint_path(settings))
    with pytest.raises(StateError, match="schema_hash was '111"):
        RunningNode(settings, memory_broker("records", 1))


def test_the_incarnation_rises_even_if_the_clock_was_set_back(tmp_path: Path) -> None:
    path = tmp_path / "incarnation"
    assert [begin_incarnation(path, now) for now in (1000, 500, 2000)] == [1000, 1001, 2000]
