"""Silent entities and stuck sensors are noticed; what may stand still is not."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.errors import StateError
from streamgauge.stream.packing import pack
from streamgauge.stream.source_health import FORGET_S, HealthRule, SourceHealth

RULE = HealthRule(silent_after_s=60.0, stuck_after_s=300.0)
FLOW, VALVE, SETPOINT = range(3)


def plant(start: int, stop: int, stuck_from: int | None = None) -> np.ndarray:
    """One record a second: a noisy flow, a valve that turns every 100 s, a set point that never changes."""
    seconds = np.arange(start, stop)
    flow = np.sin(seconds * 12.9898) * 43758.5453 % 1.0
    if stuck_from is not None:
        flow[seconds >= stuck_from] = 0.25
    return np.stack([flow, seconds // 100 % 2, np.full(len(seconds), 7.0)], axis=1)


def watched(health: SourceHealth, name: str, values: np.ndarray, start: int, batch: int) -> None:
    for i in range(0, len(values), batch):
        part = values[i : i + batch]
        health.observe(part, np.arange(start + i, start + i + len(part), dtype=float), [name] * len(part))


@given(st.integers(1, 40))
def test_a_stuck_sensor_is_found_and_a_valve_or_set_point_is_not(batch: int) -> None:
    health = SourceHealth()
    watched(health, "north", plant(0, 3000), 0, batch)
    assert health.stuck(RULE) == []
    assert health.silent(RULE) == []
    watched(health, "north", plant(3000, 4000, stuck_from=3100), 3000, batch)
    (found,) = health.stuck(RULE)
    assert (found.entity, found.column, found.value) == ("north", FLOW, 0.25)
    assert 3100 <= found.since <= 3100 + batch


def test_a_valve_that_stands_still_ten_times_longer_than_ever_is_found() -> None:
    health = SourceHealth()
    watched(health, "north", plant(0, 3000), 0, 1)
    still = plant(3000, 5000)
    still[:, VALVE] = 0.0
    watched(health, "north", still, 3000, 1)
    assert [s.column for s in health.stuck(RULE)] == [VALVE]


def test_an_entity_is_silent_while_another_goes_on_and_leaves_in_the_end() -> None:
    health = SourceHealth()
    watched(health, "north", plant(0, 100), 0, 10)
    watched(health, "south", plant(0, 200), 0, 10)
    assert health.silent(RULE) == ["north"]
    assert health.stuck(RULE) == []
    health.observe(plant(0, 1), np.array([FORGET_S + 170.0]), ["south"])
    assert health.silent(RULE) == []
    health.observe(plant(0, 1), np.array([FORGET_S + 171.0]), ["north"])
    assert health.silent(RULE) == []


def test_missing_values_and_late_records_say_nothing() -> None:
    health = SourceHealth()
    watched(health, "north", plant(0, 1000), 0, 5)
    holes = plant(1000, 2000)
    holes[:, FLOW] = np.nan
    watched(health, "north", holes, 1000, 5)
    before = health.to_state()
    health.observe(np.full((1, 3), 99.0), np.array([10.0]), ["north"])
    assert health.to_state() == before


def test_its_state_comes_back_and_more_entities_than_allowed_are_not_watched() -> None:
    health = SourceHealth(max_entities=2)
    for name in ("a", "b", "c"):
        watched(health, name, plant(0, 500), 0, 7)
    watched(health, "a", plant(500, 1500, stuck_from=500), 500, 7)
    again = SourceHealth.from_state(json.loads(json.dumps(health.to_state())), 2)
    assert again.silent(RULE) == health.silent(RULE) == ["b"]
    assert [s[:2] for s in again.stuck(RULE)] == [("a", FLOW)] == [s[:2] for s in health.stuck(RULE)]


def test_a_damaged_state_is_refused() -> None:
    health = SourceHealth()
    watched(health, "a", plant(0, 5), 0, 5)
    with pytest.raises(StateError, match="1 watched entities have 8 cells"):
        SourceHealth.from_state(health.to_state() | {"table": pack(np.zeros(8))})
