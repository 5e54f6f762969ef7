"""The settings of commands that look at a site: what they say when the cluster is not named, or wrongly."""

from __future__ import annotations

import pytest

from services.profile_tools.command import infer
from services.runtime.errors import SettingsError
from services.runtime.settings import load_site


def test_a_cluster_that_is_not_named_is_asked_for_by_its_variable_and_option(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("STREAMGAUGE_EDGE_RECORDS__BOOTSTRAP_SERVERS", raising=False)
    with pytest.raises(SettingsError, match=r"RECORDS__BOOTSTRAP_SERVERS=host:9092\nor give --bootstrap-servers"):
        load_site()


def test_a_group_set_as_a_text_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_EDGE_RECORDS", "127.0.0.1:9092")
    with pytest.raises(
        SettingsError, match=r"write JSON, .* or set one of the group by STREAMGAUGE_EDGE_RECORDS__"
    ):
        load_site()


def test_a_topic_may_have_a_dot(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("STREAMGAUGE_EDGE_RECORDS__REQUEST_TIMEOUT_S", "1")  # no broker is there to be waited for
    assert infer("press.measurements", 10, "127.0.0.1:1", None) != 0
    said = capsys.readouterr().err
    assert "no file" not in said
    assert "127.0.0.1:1" in said
