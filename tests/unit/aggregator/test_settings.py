"""Settings: every wrong one is named with its value and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.aggregator.settings import AggregatorSettings
from services.runtime.errors import SettingsError
from services.runtime.settings import load_settings

PREFIX = "STREAMGAUGE_AGGREGATOR_"
NEEDED = {
    "FEDERATION_CLUSTER__BOOTSTRAP_SERVERS": "127.0.0.1:9092",
    "SIGNING_KEY_FILE": "keys/aggregator.key",
    "NODES_KEYS_DIR": "keys/nodes",
    "STATE_DIR": "state",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in NEEDED.items():
        monkeypatch.setenv(PREFIX + name, value)
    return monkeypatch


def test_the_defaults_are_for_production(environment: pytest.MonkeyPatch) -> None:
    settings = load_settings(AggregatorSettings)
    assert settings.round_interval_s == 3600
    assert settings.url == f"sqlite:///{Path('state/aggregator.sqlite')}"
    policy = settings.round_policy(4, 2)
    assert (policy.update_partitions, policy.vote_partitions, policy.min_nodes) == (4, 2, 2)
    assert settings.merge_policy.norm_bound == settings.norm_bound


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("QUORUM", "1.5", r"QUORUM=1.5: .*less than or equal to 1"),
        ("RULE", "krumm", r"unknown federation rule 'krumm'; known: alignment, fedavg"),
        (
            "RULE",
            "alignment",
            r"weighs by distribution and accuracy, which live nodes do not send; .*\"accuracy\": 0",
        ),
        ("RULE_CONFIG", '{"x": 1}', r"rule 'fedavg' has no setting x"),
        ("OPTIMIZER", "adam", r"unknown server optimiser 'adam'; known: fedadam, fedyogi, momentum"),
        ("OPTIMIZER_CONFIG", '{"beta": 0.5}', r"optimizer_config is set and optimizer is not; name one"),
        ("TERMS", '{"prox": {}}', r"unknown client term 'prox'; known: fedcac, fedproto, moon, proximal"),
        ("TERMS", '{"proximal": {"mu": -1}}', r"client term 'proximal': mu=-1 must be a number above 0"),
        ("TERMS", '{"fedproto": {}}', r"'fedproto' is for simulations only: its nodes exchange prototypes"),
        ("TERMS", '{"fedcac": {}}', r"'fedcac' is for simulations only: it makes a model per client"),
        ("DETECTOR", "no-such", r"unknown detector 'no-such'; known: autoencoder"),
        ("DETECTOR_CONFIG", '{"x": 1}', r"has no setting x"),
        ("MIN_NODES", "0", r"MIN_NODES=0"),
        ("ROUND_INTERVALS", "5", r"ROUND_INTERVALS: no such setting; did you mean .*ROUND_INTERVAL_S"),
    ],
)
def test_wrong_settings_fail_in_one_line(
    environment: pytest.MonkeyPatch, name: str, value: str, match: str
) -> None:
    environment.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError, match=match) as caught:
        load_settings(AggregatorSettings)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(("rule", "rounds"), [("fedavg", 0), ("fedbuff", 7)])
def test_late_updates_count_only_where_the_rule_discounts_them(
    environment: pytest.MonkeyPatch, rule: str, rounds: int
) -> None:
    environment.setenv(PREFIX + "RULE", rule)
    environment.setenv(PREFIX + "LATE_ROUNDS", "7")
    assert load_settings(AggregatorSettings).round_policy(1, 1).late_rounds == rounds


def test_a_rule_that_the_smallest_round_cannot_serve_is_refused_at_the_start(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv(PREFIX + "RULE", "krum")
    environment.setenv(PREFIX + "RULE_CONFIG", '{"hostile": 2}')
    environment.setenv(PREFIX + "MIN_NODES", "8")
    with pytest.raises(
        SettingsError, match=r"hostile=2 needs at least 7 updates .* are 4; raise min_nodes or quorum"
    ):
        load_settings(AggregatorSettings)
    environment.setenv(PREFIX + "QUORUM", "0.85")
    assert load_settings(AggregatorSettings).merge_policy.rule_config == {"hostile": 2}
