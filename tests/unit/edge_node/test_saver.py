"""Checkpoints are written beside the loop: what a kill, a slow disk or a full one does to them."""

from __future__ import annotations

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from services.edge_node.build import Hooks
from services.edge_node.checkpoint import Checkpoint
from services.edge_node.loop import checkpoint, checkpoint_path
from services.edge_node.settings import EdgeSettings
from services.runtime.log import Partition
from services.runtime.tensorfile import TensorFile
from streamgauge.errors import StateError
from tests.support.edge import at_end, edge_settings, memory_broker
from tests.unit.edge_node.kit import RunningNode, Scored, good, send

RECORDS = Partition("records", 0)


class Killed(BaseException):
    """Ends the writer as kill -9 of the process does: nothing of it runs any more."""


class SlowDisk:
    """A hook that holds the writer up until the test lets it go on or ends it."""

    def __init__(self, step: str = "writing") -> None:
        self._step = step
        self._go_on = threading.Event()
        self.reached = threading.Event()
        self.slow = self.kill = False

    def __call__(self, step: str) -> None:
        if self.slow and step == self._step:
            self.reached.set()
            assert self._go_on.wait(60)
            if self.kill:
                raise Killed

    def go_on(self) -> None:
        self.slow = False
        self._go_on.set()


def made(directory: Path, profile: Path, bundle: Path) -> EdgeSettings:
    return edge_settings(directory / "state", profile, pinned_bundle=bundle, checkpoint_interval_s=3600)


def saved_offset(node: RunningNode) -> int:
    path = checkpoint_path(node.loop.settings)
    offset: int = Checkpoint.load(path, node.loop.identity).contexts[RECORDS]["next_offset"]
    return offset


def test_the_loop_goes_on_while_a_state_is_written_and_the_file_holds_that_state(
    tmp_path: Path, profile_path: Path, bundle_path: Path
) -> None:
    broker, disk = memory_broker("records", 1), SlowDisk()
    node = RunningNode(made(tmp_path, profile_path, bundle_path), broker, Hooks(disk))
    send(broker, *map(good, range(5)))
    node.turns(lambda: at_end(node.edge))
    disk.slow = True
    told: list[int] = []
    node.loop.saver.ask(lambda: told.append(saved_offset(node)))
    node.turns(disk.reached.is_set)
    send(broker, *map(good, range(5, 9)))
    node.turns(lambda: at_end(node.edge))
    assert not told, "not before it is on the disk"
    disk.go_on()
    node.turns(lambda: bool(told))
    assert told == [5]
    assert checkpoint(node.loop).contexts[RECORDS]["next_offset"] == 9
    node.end()
    assert saved_offset(node) == 9


@pytest.mark.parametrize(("step", "kept"), [("writing", 5), ("written", 7)])
def test_a_kill_while_the_writer_writes_loses_nothing(
    tmp_path: Path, profile_path: Path, bundle_path: Path, step: str, kept: int
) -> None:
    broker, disk = memory_broker("records", 1), SlowDisk(step)
    settings = made(tmp_path, profile_path, bundle_path)
    told: list[int] = []
    first = RunningNode(settings, broker, Hooks(disk))
    send(broker, *map(good, range(5)))
    first.turns(lambda: at_end(first.edge))
    first.loop.save()
    send(broker, *map(good, range(5, 7)))
    first.turns(lambda: at_end(first.edge))
    disk.slow = disk.kill = True
    first.loop.saver.ask(lambda: told.append(1))
    first.turns(disk.reached.is_set)
    send(broker, *map(good, range(7, 9)))
    first.turns(lambda: at_end(first.edge))
    first.loop.commit()  # ahead of any checkpoint
    disk.go_on()
    first.crash()
    assert not told
    ledger = Scored()
    second = RunningNode(settings, broker, Hooks(ledger=ledger))
    second.turns(lambda: at_end(second.edge))
    assert [offset for _, offset in ledger.offsets] == list(range(kept, 9))
    assert second.loop.node.counts.scored == 9
    second.crash()


def test_asked_for_while_one_is_written_the_next_state_is_taken_afterwards(
    tmp_path: Path, profile_path: Path, bundle_path: Path
) -> None:
    broker, disk = memory_broker("records", 1), SlowDisk()
    node = RunningNode(made(tmp_path, profile_path, bundle_path), broker, Hooks(disk))
    send(broker, good(0))
    node.turns(lambda: at_end(node.edge))
    disk.slow = True
    told: list[tuple[str, int]] = []

    def tell(name: str) -> None:
        told.append((name, saved_offset(node)))

    node.loop.saver.ask(partial(tell, "first"))
    node.turns(disk.reached.is_set)
    send(broker, *map(good, range(1, 3)))
    node.turns(lambda: at_end(node.edge))
    for name in ("second", "third"):
        node.loop.saver.ask(partial(tell, name))
    disk.go_on()
    node.turns(lambda: len(told) == 3)
    assert told == [("first", 1), ("second", 3), ("third", 3)]
    node.crash()


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process can grow beyond 2 kB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_cannot_be_written_stops_the_node_and_keeps_the_last_one(
    tmp_path: Path, profile_path: Path, bundle_path: Path
) -> None:
    broker = memory_broker("records", 1)
    node = RunningNode(made(tmp_path, profile_path, bundle_path), broker)
    send(broker, *(good(i, f"machine-{i}") for i in range(50)))
    node.turns(lambda: at_end(node.edge))
    node.loop.save()
    before = checkpoint_path(node.loop.settings).read_bytes()
    told: list[int] = []
    node.loop.saver.ask(lambda: told.append(1))
    with (
        full_disk(),
        pytest.raises(
            StateError, match=r"checkpoint\.safetensors cannot be written \(.*too large.*\); make room on its disk"
        ),
    ):
        node.turns(lambda: bool(told))
    assert not told
    assert checkpoint_path(node.loop.settings).read_bytes() == before
    assert {path.name for path in node.loop.settings.state_dir.iterdir() if path.name.endswith(".tmp")} == set()
    node.crash()


def test_what_a_killed_writer_left_is_removed_at_the_next_start(
    tmp_path: Path, profile_path: Path, bundle_path: Path
) -> None:
    settings = made(tmp_path, profile_path, bundle_path)
    settings.state_dir.mkdir(parents=True)
    left = settings.state_dir / ".checkpoint.safetensors.abc123.tmp"
    left.write_bytes(b"half")
    RunningNode(settings, memory_broker("records", 1)).crash()
    assert not left.exists()


def test_a_file_holds_the_value_as_it_was_when_it_was_made(tmp_path: Path) -> None:
    value, arrays = {"b": [1.5, None], "a": "ä"}, {"x": np.arange(6.0).reshape(2, 3).T, "empty": np.zeros((0, 2))}
    file = TensorFile.of(value, arrays)
    expected = TensorFile.of(value, arrays).to_bytes()
    value["b"] = "changed"
    file.write(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == file.to_bytes() == expected
