"""Which client reads, and what librdkafka is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.runtime import rdkafka
from services.runtime.errors import SettingsError
from services.runtime.rdkafka_consumer import consumer_options
from services.runtime.settings import ClusterSettings


def test_auto_takes_it_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [rdkafka.chosen(client) for client in ("auto", "librdkafka", "kafka-python")] == [True, True, False]
    monkeypatch.setattr(rdkafka, "installed", lambda: False)
    assert not rdkafka.chosen("auto")
    assert not rdkafka.chosen("kafka-python")
    with pytest.raises(SettingsError, match=r"client=librdkafka.*streamgauge\[librdkafka\].*kafka-python"):
        rdkafka.chosen("librdkafka")


def test_security_settings_arrive_under_librdkafka_s_names(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("hidden\n")
    cluster = ClusterSettings(
        bootstrap_servers="a:1, b:2",
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="edge",
        sasl_password_file=password,
        ssl_cafile=tmp_path / "ca.pem",
        ssl_check_hostname=False,
    )
    options = consumer_options(cluster, "node", "group")
    assert options["bootstrap.servers"] == "a:1,b:2"
    assert options["sasl.password"] == "hidden"
    assert options["ssl.ca.location"] == str(tmp_path / "ca.pem")
    assert options["ssl.endpoint.identification.algorithm"] == "none"
    assert "ssl.key.location" not in options
    assert not options["enable.auto.commit"]
    assert options["auto.offset.reset"] == "error"
