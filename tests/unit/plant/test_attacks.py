"""Attacks change what they say, and nothing before they begin."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.errors import ConfigurationError
from streamgauge.plant.attacks import CLASSES, Attack, attack_from
from streamgauge.plant.plant import Reading
from streamgauge.plant.schedule import Schedule
from streamgauge.plant.tags import OFF, ON, SENSORS
from tests.support.examples import examples
from tests.unit.plant.kit import plant

SEED, BEGIN, LAST = 11, 200, 300
EVERY = [
    Attack("command-injection", ("P101", "MV201"), BEGIN, LAST),
    Attack("replay", ("LIT101", "FIT201"), BEGIN, LAST, ago_s=150),
    Attack("data-injection", ("LIT301",), BEGIN, LAST, offset=-120.0, slope=0.1),
    Attack("denial-of-service", ("LIT401", "FIT301", "P301"), BEGIN, LAST),
    Attack("timing", ("LIT301", "AIT503"), BEGIN, LAST, delay_s=90),
    Attack("control-logic", ("P203",), BEGIN, LAST, set={"acid_low": 7.4, "acid_high": 7.6}),
]


def stream(count: int, *attacks: Attack) -> list[Reading]:
    attacked = plant(SEED)
    for attack in attacks:
        attacked.attack(attack)
    return list(islice(attacked, count))


@pytest.fixture(scope="module")
def calm() -> list[Reading]:
    return stream(BEGIN + LAST + 50)


@pytest.mark.parametrize("attack", EVERY, ids=lambda attack: attack.kind)
def test_an_attack_is_labelled_and_changes_nothing_before_it_begins(attack: Attack, calm: list[Reading]) -> None:
    hit = stream(len(calm), attack)
    assert hit[:BEGIN] == calm[:BEGIN]
    assert [reading.values for reading in hit[BEGIN:]] != [reading.values for reading in calm[BEGIN:]]
    assert {reading.attack_class for reading in hit[BEGIN : BEGIN + LAST]} == {attack.kind}
    assert {reading.points for reading in hit[BEGIN : BEGIN + LAST]} == {attack.points}
    assert {reading.attack_class for reading in hit[:BEGIN] + hit[BEGIN + LAST :]} == {""}


def values(readings: list[Reading], tag: str) -> list[float]:
    return [reading.values[tag] for reading in readings]


def test_command_injection_overrides_the_controllers(calm: list[Reading]) -> None:
    was = calm[BEGIN].values["P101"]
    hit = stream(BEGIN + LAST, EVERY[0])
    assert set(values(hit[BEGIN + 1 :], "P101")) == {OFF if was == ON else ON}
    told = stream(BEGIN + 20, Attack("command-injection", ("P102",), BEGIN, 20, on=True))
    assert values(told, "P102") == [OFF] * (BEGIN + 1) + [ON] * 19


def test_replay_shows_the_past_again(calm: list[Reading]) -> None:
    hit = stream(BEGIN + LAST, EVERY[1])
    for tag in ("LIT101", "FIT201"):
        assert values(hit[BEGIN:], tag) == values(calm[BEGIN - 150 : BEGIN], tag) * 2


def test_data_injection_adds_to_the_reading_at_once(calm: list[Reading]) -> None:
    hit = stream(BEGIN + 1, EVERY[2])
    assert hit[BEGIN].values["LIT301"] == pytest.approx(calm[BEGIN].values["LIT301"] - 120, abs=1e-3)
    fixed = stream(BEGIN + 9, Attack("data-injection", ("AIT202",), BEGIN, 9, value=3.0))
    assert set(values(fixed[BEGIN:], "AIT202")) == {3.0}


def test_denial_of_service_keeps_the_last_reading_and_the_last_command(calm: list[Reading]) -> None:
    hit = stream(BEGIN + LAST, EVERY[3])
    for tag in ("LIT401", "FIT301"):
        assert set(values(hit[BEGIN:], tag)) == {calm[BEGIN - 1].values[tag]}
    assert len(set(values(hit[BEGIN + 1 :], "P301"))) == 1


def test_timing_delays_messages(calm: list[Reading]) -> None:
    hit = stream(BEGIN + LAST, EVERY[4])
    assert set(values(hit[BEGIN : BEGIN + 90], "LIT301")) == {calm[BEGIN - 1].values["LIT301"]}
    assert values(hit[BEGIN + 90 : BEGIN + 170], "AIT503") == values(calm[BEGIN : BEGIN + 80], "AIT503")


def test_control_logic_moves_what_is_controlled() -> None:
    hit = stream(BEGIN + LAST, EVERY[5])
    assert min(values(hit[:BEGIN], "AIT202")) > 8.0
    assert hit[-1].values["AIT202"] < 7.9


def test_attacks_at_once_are_all_named() -> None:
    hit = stream(BEGIN + 1, EVERY[0], EVERY[5])
    assert hit[-1].attack_class == "command-injection+control-logic"
    assert hit[-1].points == ("P101", "MV201", "P203")


def test_an_attack_whose_start_is_past_begins_with_the_next_record() -> None:
    attacked = plant(SEED)
    before = list(islice(attacked, 50))
    attacked.attack(Attack("denial-of-service", ("LIT101",), 10, 5))
    after = list(islice(attacked, 7))
    assert {reading.attack_class for reading in before} == {""}
    assert [bool(reading.attacks) for reading in after] == [True] * 5 + [False] * 2


@given(seed=st.integers(0, 2**31))
@examples(10)
def test_a_schedule_holds_every_class_and_follows_from_its_seed(seed: int) -> None:
    schedule, end, attacks = Schedule(seed, first=1000), 0, []
    for number in range(12):
        attack = schedule.attack(number, end)
        assert attack == schedule.attack(number, end)
        assert attack.start == 1000 if number == 0 else 1200 <= attack.start - end <= 3600
        assert 300 <= attack.duration <= 1200
        attacks.append(attack)
        end = attack.end
    for six in (attacks[:6], attacks[6:]):
        assert sorted(attack.kind for attack in six) == sorted(CLASSES)


def test_a_schedule_hits_one_point_and_several_in_one_stage_and_in_two() -> None:
    schedule = Schedule(seed=1, first=0)
    shapes = {(len(a.points) > 1, len(a.stages)) for a in (schedule.attack(n, 0) for n in range(100))}
    assert shapes >= {(False, 1), (True, 1), (True, 2)}


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"class": "spoofing", "points": ["LIT101"]}, "use one of command-injection"),
        ({"class": "replay", "points": ["LIT999"]}, "LIT999; use some of"),
        ({"class": "replay", "points": []}, "none; use some of"),
        ({"class": "command-injection", "points": ["LIT101"]}, "use some of MV101"),
        ({"class": "data-injection", "points": ["LIT101"]}, "offset, slope or value"),
        ({"class": "data-injection", "points": ["LIT101"], "offset": "much"}, "could not convert"),
        ({"class": "timing", "points": ["LIT101"], "delay_s": 5000}, "from 1 to 900"),
        ({"class": "replay", "points": ["LIT101"], "delay_s": 5}, "unknown delay_s; use ago_s"),
        ({"class": "control-logic", "points": ["MV101"], "set": {"t1": 3}}, "t1; use"),
        ({"class": "replay", "points": "LIT101", "duration_s": 0}, "at least 1"),
    ],
)
def test_a_wrong_attack_is_refused_with_what_is_allowed(wrong: dict[str, Any], hint: str) -> None:
    with pytest.raises(ConfigurationError, match=hint):
        attack_from(wrong, now=0)


def test_an_attack_from_a_request_begins_now() -> None:
    attack = attack_from({"class": "data-injection", "points": "LIT101", "offset": 100, "duration_s": 60}, now=77)
    assert attack == Attack("data-injection", ("LIT101",), 77, 60, offset=100.0)
    assert set(SENSORS) > {"LIT101"}
