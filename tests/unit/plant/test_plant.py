"""The plant without attacks: its water is balanced, its levels hold, its stream follows from the seed."""

from __future__ import annotations

import math
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.errors import StateError
from streamgauge.plant.attacks import Attack
from streamgauge.plant.carrying import carried, carry
from streamgauge.plant.design import TOP_MM
from streamgauge.plant.plant import Plant, Reading, matrix
from streamgauge.plant.schedule import Schedule
from streamgauge.plant.tags import ACTUATORS, MOVING, OFF, ON, SENSORS, TAGS, VALVES
from streamgauge.profiles.profile import load_profile
from tests.support.examples import examples
from tests.unit.plant.kit import plant

START_S = 1_750_000_000.0
SEEDS = st.integers(0, 2**31)


def taken(plant: Plant, count: int) -> list[Reading]:
    return list(islice(plant, count))


def test_the_tags_are_those_of_swat() -> None:
    assert list(TAGS) == [field.field for field in load_profile("swat").numeric]
    assert (len(TAGS), len(SENSORS), len(ACTUATORS)) == (51, 25, 26)


@examples(2)
@given(seed=SEEDS, start_s=st.floats(0, 2e9), hours=st.integers(1, 2))
def test_no_water_is_lost_and_levels_hold(seed: int, start_s: float, hours: int) -> None:
    plant = Plant(seed, start_s)
    water, design = plant.state.water, plant.design
    stored = water.stored(design)
    passed = water.taken - water.drained - water.delivered - water.spilled
    values = matrix(taken(plant, 3600 * hours))
    now = water.taken - water.drained - water.delivered - water.spilled
    assert water.stored(design) - stored == pytest.approx(now - passed, abs=1e-9)
    assert water.spilled == 0.0
    column = dict(zip(TAGS, values.T, strict=True))
    for level, low, high in (("LIT101", 470, 830), ("LIT301", 760, 1040), ("LIT401", 690, 1030)):
        assert low < column[level].min() <= column[level].max() < high
    assert 400 < water.h6 < 900


@examples(2)
@given(seed=SEEDS)
def test_the_tags_themselves_are_balanced(seed: int) -> None:
    """What the flow meters sent explains what the level sensors sent, but for their noise."""
    plant = Plant(seed, START_S)
    tags = dict(zip(TAGS, matrix(taken(plant, 3600)).T, strict=True))
    for level, area, flow_in, flow_out in (
        ("LIT101", plant.design.area1, "FIT101", "FIT201"),
        ("LIT301", plant.design.area3, "FIT201", "FIT301"),
    ):
        net = (tags[flow_in] - tags[flow_out])[:-1].sum() / 3.6 / area
        assert tags[level][-1] - tags[level][0] == pytest.approx(net, abs=12.0)
    over = tags["FIT501"] + tags["FIT504"] - tags["FIT502"] - tags["FIT503"]
    assert abs(over.mean()) < 0.01


@given(seed=SEEDS)
@examples(2)
def test_states_are_written_as_in_swat(seed: int) -> None:
    values = dict(zip(TAGS, matrix(taken(Plant(seed, START_S), 2000)).T, strict=True))
    for tag in ACTUATORS:
        allowed = {MOVING, OFF, ON} if tag in VALVES else {OFF, ON}
        assert set(values[tag].tolist()) <= allowed
    assert {MOVING, OFF, ON} == set(values["MV302"].tolist())


def test_same_seed_same_stream() -> None:
    first, again, other = (taken(Plant(seed, START_S), 100) for seed in (7, 7, 8))
    assert first == again
    assert [list(reading.values) for reading in first[:2]] == [list(TAGS)] * 2
    assert [reading.t for reading in first[:3]] == [START_S, START_S + 1, START_S + 2]
    assert np.abs(matrix(first) - matrix(other)).max() > 1


def test_days_and_wear_are_seen() -> None:
    noon, midnight = (matrix(taken(Plant(3, 86_400.0 * 10 + hour * 3600), 600)) for hour in (15, 3))
    worn = matrix(taken(Plant(3, 86_400.0 * 80 + 15 * 3600), 600))
    pressure = TAGS.index("PIT501")
    assert np.median(noon[:, pressure]) < np.median(midnight[:, pressure]) - 0.5
    assert np.median(worn[:, pressure]) > np.median(noon[:, pressure]) + 4


def test_a_state_carried_on_goes_on_as_if_nothing_had_been() -> None:
    schedule = Schedule(seed=5, first=300, calm=(60, 120), lasting=(60, 200))
    plant = Plant(4, START_S, schedule)
    plant.attack(Attack("timing", ("LIT101", "MV101"), 380, 200, delay_s=50))
    taken(plant, 400)
    state = carry(plant)
    expected = taken(plant, 1500)
    assert len({reading.attack_class for reading in expected}) > 3
    assert taken(carried(state), 1500) == expected


@pytest.mark.parametrize("data", [b"", b"{}", b'{"format":1,"seed":1,"start_s":0.0,"state":{"step":"x"}}'])
def test_a_state_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(StateError, match="delete it"):
        carried(data)


def test_a_state_of_another_format_is_refused() -> None:
    state = carry(plant(1)).replace(b'{"format":1', b'{"format":9', 1)
    with pytest.raises(StateError, match="format 9"):
        carried(state)


@examples(2)
@given(seed=SEEDS)
def test_whatever_is_attacked_the_plant_stays_a_plant(seed: int) -> None:
    plant = Plant(seed, START_S, Schedule(seed, first=0, calm=(0, 300), lasting=(300, 900)))
    water, design = plant.state.water, plant.design
    stored = water.stored(design) - water.taken + water.drained + water.delivered + water.spilled
    for reading in taken(plant, 5000):
        assert list(reading.values) == list(TAGS)
        assert all(math.isfinite(value) for value in reading.values.values())
        assert all(0.0 <= h <= TOP_MM for h in (water.h1, water.h3, water.h4, water.h6))
    now = water.stored(design) - water.taken + water.drained + water.delivered + water.spilled
    assert now == pytest.approx(stored, abs=1e-9)
