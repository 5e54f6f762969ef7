"""A wrong setting of the edge node is one clear line: setting, value, what is allowed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.edge_node.settings import EdgeSettings
from services.runtime.errors import SettingsError
from services.runtime.settings import load_settings

PREFIX = "STREAMGAUGE_EDGE_"
GOOD = {
    "NODE": "site/one",
    "RECORDS__BOOTSTRAP_SERVERS": "localhost:9092",
    "TOPICS": '["records"]',
    "PROFILE": "nsl_kdd",
    "PINNED_BUNDLE": "bundle.safetensors",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("STREAMGAUGE_")]:
        monkeypatch.delenv(name)
    for name, value in {**GOOD, "STATE_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(PREFIX + name, value)


def problem(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    for name, value in variables.items():
        monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings(EdgeSettings)
    return str(caught.value)


def test_the_example_is_right() -> None:
    settings = load_settings(EdgeSettings)
    assert (settings.site, settings.start, settings.topics) == ("site", "earliest", ("records",))


WRONG = [
    ("NODE", "one", "String should match pattern"),
    ("START", "earlest", "use earliest, latest or a time with its zone"),
    ("START", "2026-01-31T00:00:00", "a zone"),
    ("TOPICS", "records", "write JSON"),
    ("MODE", "groups", "'assigned' or 'group'"),
    ("DETECTOR", "autoencodr", "use one of autoencoder"),
    ("ALERTS__GAP_S", "-1", "greater than 0"),
    ("ALERTS__FALSE_ALARMS_PER_DAY", "0", "greater than 0"),
    ("LEARNING__HOLDOUT_EVERY", "1", "greater than or equal to 2"),
    ("COMMIT_INTERVAL_S", "often", "valid number"),
    ("METRICS_PORT", "70000", "less than or equal to 65535"),
    ("LEARN_LABELS", "perhaps", "valid boolean"),
]


@pytest.mark.parametrize(("name", "value", "allowed"), WRONG)
def test_one_line_names_setting_value_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, allowed: str
) -> None:
    text = problem(monkeypatch, **{name: value})
    assert "\n" not in text
    assert text.startswith(PREFIX)
    assert allowed in text
    if name != "START" or "zone" not in allowed:
        assert f"{PREFIX}{name}" in text


def test_a_hyper_parameter_is_checked_before_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "detector_config: hidden=0: use a whole number" in problem(monkeypatch, DETECTOR_CONFIG='{"hidden": 0}')
    assert "no setting hiden" in problem(monkeypatch, DETECTOR_CONFIG='{"hiden": 3}')


def test_several_wrong_settings_are_several_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = problem(monkeypatch, NODE="one", MODE="x", ALERTS__GAP_S="0").splitlines()
    assert len(lines) == 3


def test_an_unknown_setting_names_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "did you mean STREAMGAUGE_EDGE_LEARN_LABELS?" in problem(monkeypatch, LEARN_LABEL="true")


@pytest.mark.parametrize("name", ["NODE", "PROFILE", "RECORDS__BOOTSTRAP_SERVERS", "STATE_DIR"])
def test_a_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(PREFIX + name)
    with pytest.raises(SettingsError, match=rf"{PREFIX}{name.partition('__')[0]} is not set: it is required"):
        load_settings(EdgeSettings)


def test_what_is_read_must_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "topics or topic_pattern must say what is read" in problem(monkeypatch, TOPICS="[]")
    monkeypatch.delenv(f"{PREFIX}TOPICS")
    assert "topics or topic_pattern must say what is read" in problem(monkeypatch)


def test_without_a_pinned_bundle_the_federation_s_settings_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(f"{PREFIX}PINNED_BUNDLE")
    text = problem(monkeypatch)
    assert "federation_cluster, key_file, aggregator_key_file must be set, unless pinned_bundle is" in text


def test_partitions_and_a_group_exclude_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "partitions cannot be set in group mode" in problem(monkeypatch, MODE="group", PARTITIONS="[0]")


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    text = problem(monkeypatch, RECORDS__SASL_PASSWORD="hunter2", RECORDS__SECURITY_PROTOCOL="SASL", NODE="one")
    assert "hunter2" not in text
    broken = problem(monkeypatch, RECORDS='{"sasl_password": "hunter2"')
    assert "hunter2" not in broken


def test_a_long_window_keeps_as_many_rows_of_a_bucket_as_it_needs() -> None:
    learning = load_settings(EdgeSettings).learning
    kept = [learning.policy(False, window).holdout_rows_per_bucket for window in (1, 60, 61, 1000)]
    assert kept == [60, 60, 122, 2000]
