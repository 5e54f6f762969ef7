"""The keys that the compose file's own service makes are where every service looks for them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from services.edge_node.settings import EdgeSettings
from services.runtime.signing import load_signing_key, load_verify_key, load_verify_keys
from tests.unit.deploy import compose
from tests.unit.deploy.conftest import Load
from tests.unit.deploy.images import made_directories, stages
from tests.unit.deploy.scripts import executable, run, script_of


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """The directory that the service `keys` makes, by its own command and our real command line."""
    executable(
        tmp_path / "streamgauge",
        f'#!/bin/sh\nexec "{sys.executable}" -c "from services.cli import main; main()" "$@"\n',
    )
    service = compose.services()["keys"]
    directory, *names = service["command"]
    assert directory == "/keys"
    for _ in range(2):  # the second start changes nothing
        run("sh", script_of(service), tmp_path / "keys", *names, path=tmp_path)
    return tmp_path / "keys"


def test_keys_are_where_every_service_looks_for_them(keys: Path, load: Load) -> None:
    writer = compose.services()["keys"]
    where = {
        m.source: keys / Path(m.target).relative_to("/keys") for m in compose.mounts_of(writer) if not m.is_bind
    }
    assert {m.target for m in compose.mounts_of(writer) if not m.is_bind} <= made_directories(stages()["tools"])

    def on_disk(name: str, path: Path | None) -> Path:
        mount = compose.mount_for(compose.services()[name], str(path))
        assert mount is not None
        return where[mount.source] / Path(str(path)).relative_to(mount.target)

    settings: dict[str, Any] = {
        name: load(compose.SETTINGS[compose.command_of(service)], compose.environment_of(service))
        for name, service in compose.settled().items()
    }
    aggregator, nodes = settings["aggregator"], [s for s in settings.values() if isinstance(s, EdgeSettings)]
    pinned = load_signing_key(on_disk("aggregator", aggregator.signing_key_file)).verify_key.to_pem()
    enrolled = load_verify_keys(on_disk("aggregator", aggregator.nodes_keys_dir))
    assert enrolled.keys() == {node.node for node in nodes}
    assert load_verify_keys(on_disk("api", settings["api"].nodes_keys_dir)).keys() == enrolled.keys()
    assert load_verify_key(on_disk("api", settings["api"].aggregator_key_file)).to_pem() == pinned
    for name, node in settings.items():
        if isinstance(node, EdgeSettings):
            own = load_signing_key(on_disk(name, node.key_file)).verify_key.to_pem()
            assert own == enrolled[node.node].to_pem()
            assert load_verify_key(on_disk(name, node.aggregator_key_file)).to_pem() == pinned
