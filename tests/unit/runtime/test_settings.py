from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from services.runtime.errors import SettingsError
from services.runtime.settings import ClusterSettings, ServiceSettings, load_settings


class Example(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="STREAMGAUGE_EXAMPLE_")

    records: ClusterSettings
    token: SecretStr | None = None
    shares: dict[str, int] = Field(default_factory=dict)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("STREAMGAUGE_EXAMPLE_RECORDS__BOOTSTRAP_SERVERS", "a:9092, b:9092")
    monkeypatch.setenv("STREAMGAUGE_EXAMPLE_STATE_DIR", "/var/lib/example")
    return monkeypatch


def complaint(**overrides: object) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(Example, **overrides)
    return str(caught.value).splitlines()


def test_settings_come_from_the_environment(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("STREAMGAUGE_EXAMPLE_SHARES__A", "3")
    settings = load_settings(Example, log_level="debug")
    assert settings.records.servers == ["a:9092", "b:9092"]
    assert settings.state_dir == Path("/var/lib/example")
    assert settings.shares == {"a": 3}
    assert settings.log_level == "debug"


def test_a_wrong_value_is_named_with_what_is_allowed(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("STREAMGAUGE_EXAMPLE_METRICS_PORT", "99999")
    environment.setenv("STREAMGAUGE_EXAMPLE_LOG_FORMAT", "xml")
    assert complaint() == [
        "STREAMGAUGE_EXAMPLE_METRICS_PORT=99999: Input should be less than or equal to 65535",
        "STREAMGAUGE_EXAMPLE_LOG_FORMAT=xml: Input should be 'console' or 'json'",
    ]


def test_an_unknown_variable_is_refused_with_the_nearest_known(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("STREAMGAUGE_EXAMPLE_FEDRATION", "x")
    environment.setenv("STREAMGAUGE_EXAMPLE_RECORDS__SSL_CAFIL", "x")
    assert complaint() == [
        "STREAMGAUGE_EXAMPLE_FEDRATION: no such setting; did you mean STREAMGAUGE_EXAMPLE_FEDERATION?",
        "STREAMGAUGE_EXAMPLE_RECORDS__SSL_CAFIL: no such setting; "
        "did you mean STREAMGAUGE_EXAMPLE_RECORDS__SSL_CAFILE?",
    ]


def test_a_missing_setting_is_named(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("STREAMGAUGE_EXAMPLE_STATE_DIR")
    assert complaint() == ["STREAMGAUGE_EXAMPLE_STATE_DIR is not set: it is required"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("BOOTSTRAP_SERVERS", "no-port", "host:port"),
        ("SECURITY_PROTOCOL", "SASL_SSL", "needs sasl_mechanism and sasl_username"),
        ("HEARTBEAT_S", "20", "at most a third of session_timeout_s"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(
    environment: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    environment.setenv(f"STREAMGAUGE_EXAMPLE_RECORDS__{name}", value)
    (line,) = complaint()
    assert said in line


def test_secrets_are_never_shown(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.setenv("STREAMGAUGE_EXAMPLE_TOKEN", "geheim")
    environment.setenv("STREAMGAUGE_EXAMPLE_RECORDS__SASL_PASSWORD", "geheim")
    assert "geheim" not in repr(load_settings(Example))
    environment.setenv("STREAMGAUGE_EXAMPLE_RECORDS__SASL_PASSWORD_FILE", str(tmp_path / "p"))
    environment.setenv("STREAMGAUGE_EXAMPLE_METRICS_PORT", "x")
    assert "geheim" not in "\n".join(complaint())


def test_a_password_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "password"
    cluster = ClusterSettings(bootstrap_servers="a:1", sasl_password_file=path)
    with pytest.raises(SettingsError, match="No such file"):
        cluster.password()
    path.write_text("geheim\n")
    assert cluster.password() == "geheim"
