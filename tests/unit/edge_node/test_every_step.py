"""A crash between any two steps of the loop changes nothing: the alerts equal those of one undisturbed run."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas import Alert
from services.edge_node.build import Hooks
from services.runtime.memory import MemoryBroker
from streamgauge.detectors import DETECTORS
from tests.support.detectors import LIBRARY_DETECTORS
from tests.support.edge import (
    MemoryClients,
    alerts_of,
    assert_same_alerts,
    at_end,
    edge_settings,
    memory_broker,
    run_until,
)
from tests.support.plant import messages, plant_profile, plant_records, trained_bundle, write_profile

PARTITIONS = 2
STREAM = list(messages("records", plant_records(600), PARTITIONS))


class Crash(BaseException):
    """Ends the node as kill -9 does: nothing after it runs."""


def crash_at(number: int) -> Callable[[str], None]:
    times = itertools.count(1)  # of the loop's thread and of the checkpoint's writer

    def reach(step: str) -> None:
        if next(times) == number:
            raise Crash(step)

    return reach


class Bench:
    """One stream, one bundle, many runs."""

    def __init__(self, detector: str, directory: Path) -> None:
        self.directory = directory
        self.profile = write_profile(directory)
        self.bundle = directory / "bundle.safetensors"
        trained_bundle(detector, plant_profile().schema, records=1000).save(self.bundle)
        self.detector = detector
        self.runs = 0
        self.crashed = 0
        """How often the last run crashed."""
        broker = self._broker()
        self.topic_id = broker.topics["records"].id
        self.expected = self.run([], broker)

    def _broker(self) -> MemoryBroker:
        broker = memory_broker("records", PARTITIONS)
        broker.producer().deliver(STREAM)
        return broker

    def run(self, crashes: list[int], broker: MemoryBroker | None = None) -> dict[str, Alert]:
        broker = broker or self._broker()
        broker.topics["records"].id = getattr(self, "topic_id", broker.topics["records"].id)
        self.runs += 1
        self.crashed = 0
        settings = edge_settings(
            self.directory / f"state-{self.runs}", self.profile, detector=self.detector, pinned_bundle=self.bundle
        )
        for number in crashes:
            try:
                run_until(settings, MemoryClients(broker), at_end, Hooks(crash_at(number)))
            except Crash:
                self.crashed += 1
                continue
            break
        run_until(settings, MemoryClients(broker), at_end)
        return alerts_of(broker.records("streamgauge.alerts"))


# What a crash may lose does not depend on the model, but on whether a record is judged with those before it.
WINDOW = {name: DETECTORS[name](plant_profile().schema.width, {}).window for name in LIBRARY_DETECTORS}
KINDS = [*(name for name in WINDOW if WINDOW[name] > 1), next(name for name in WINDOW if WINDOW[name] == 1)]


@pytest.fixture(scope="module", params=KINDS)
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(request.param, tmp_path_factory.mktemp(request.param))


def test_the_stream_has_alerts_of_every_kind(bench: Bench) -> None:
    assert len(bench.expected) > 5
    assert {alert.close_reason for alert in bench.expected.values()} >= {"gap", "max_records"}


def test_a_crash_at_any_step_changes_no_alert(bench: Bench) -> None:
    for number in itertools.count(1):
        assert_same_alerts(bench.expected, bench.run([number]))
        if not bench.crashed:
            break
    assert number > 15


def test_many_crashes_change_no_alert(bench: Bench) -> None:
    assert_same_alerts(bench.expected, bench.run([7, 3, 11, 5, 2, 9, 4]))
    assert bench.crashed > 3
