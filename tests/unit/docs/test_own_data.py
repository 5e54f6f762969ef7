"""The README's way to one's own data: keys, profile, record and settings fit each other."""

from __future__ import annotations

import os
import re
import shlex
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.aggregator.settings import AggregatorSettings
from services.api.settings import ApiSettings
from services.cli import app
from services.edge_node.settings import EdgeSettings
from services.runtime.settings import ServiceSettings, load_settings
from services.runtime.signing import load_signing_key, load_verify_key, load_verify_keys
from streamgauge.profiles.decoder import Decoder
from streamgauge.profiles.profile import load_profile, parse_profile
from tests.unit.docs.pages import ROOT, blocks

EXAMPLES = ROOT / "docs" / "examples"


@dataclass(frozen=True)
class Record:
    value: bytes
    key: bytes | None = None
    timestamp: int = 0


def variables(path: Path) -> dict[str, str]:
    """What the shell makes of an environment file."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(shlex.split(line)[0].split("=", 1) for line in lines)


def load(cls: type[ServiceSettings], name: str, monkeypatch: pytest.MonkeyPatch) -> ServiceSettings:
    for variable in [v for v in os.environ if v.startswith("STREAMGAUGE_")]:
        monkeypatch.delenv(variable)
    for variable, value in variables(EXAMPLES / f"{name}.env").items():
        monkeypatch.setenv(variable, value)
    return load_settings(cls)


def test_the_keys_that_the_readme_makes_are_the_ones_that_the_settings_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = [b for b in blocks("sh", "README.md") if "keys create" in b.text]
    for line in block.text.splitlines():
        if line.startswith("streamgauge "):
            result = CliRunner().invoke(app, shlex.split(line)[1:], standalone_mode=True)
            assert result.exit_code == 0, result.output
    edge = load(EdgeSettings, "edge", monkeypatch)
    aggregator = load(AggregatorSettings, "aggregator", monkeypatch)
    api = load(ApiSettings, "api", monkeypatch)
    assert isinstance(edge, EdgeSettings)
    assert isinstance(aggregator, AggregatorSettings)
    assert isinstance(api, ApiSettings)
    assert edge.key_file
    assert edge.aggregator_key_file
    assert api.nodes_keys_dir
    load_signing_key(edge.key_file)
    pinned, signing = load_verify_key(edge.aggregator_key_file), load_signing_key(aggregator.signing_key_file)
    assert pinned.to_pem() == signing.verify_key.to_pem()
    assert load_verify_keys(aggregator.nodes_keys_dir).keys() == {edge.node}
    assert load_verify_keys(api.nodes_keys_dir).keys() == {edge.node}
    assert edge.profile == str(EXAMPLES.relative_to(ROOT) / "press.toml")


def test_the_profile_takes_the_readmes_record() -> None:
    (record,) = blocks("json", "README.md")
    profile = load_profile(EXAMPLES / "press.toml")
    decoded = Decoder(profile).decode([Record(record.text.strip().encode())])
    assert decoded.rejected == []
    assert decoded.entities == ["press-7"]
    assert decoded.context(0) == {"order": "A-17"}
    assert 0 < float(decoded.times[0]) < time.time() + 86_400


def test_the_profile_shown_in_the_readme_is_part_of_the_file() -> None:
    (shown,) = blocks("toml", "README.md")
    short, whole = parse_profile(shown.text), load_profile(EXAMPLES / "press.toml")
    assert set(short.numeric) <= set(whole.numeric)
    assert set(short.categorical) <= set(whole.categorical)
    assert (short.time, short.entity) == (whole.time, whole.entity)


def test_the_commands_of_each_service_follow_its_settings() -> None:
    sourced = [b.text for b in blocks("sh", "README.md") if ". docs/examples" in b.text]
    assert len(sourced) == 3
    for text in sourced:
        name = re.search(r"examples/(\w+)\.env", text)
        assert name
        assert f"streamgauge {'edge-node' if name[1] == 'edge' else name[1]}" in text
