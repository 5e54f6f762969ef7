"""The Dockerfile against the package and the code."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from services.api.app import ApiParts, create_app
from services.api.store import Store
from services.cli import app
from services.runtime.http import serve_status
from services.runtime.settings import ServiceSettings
from tests.unit.api import kit
from tests.unit.deploy import compose
from tests.unit.deploy.conftest import Load
from tests.unit.deploy.images import ROOT, stages

TARGETS = ("edge", "aggregator", "api", "tools")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, TOOLS = PYPROJECT["project"], PYPROJECT["tool"]
TORCH_INDEX = "--index-url https://download.pytorch.org/whl/cpu"


def builds(target: str) -> list[str]:
    """Commands of the stage that a target's environment comes from."""
    (source,) = [each[0] for each in stages()[target].copies]
    assert source is not None
    return stages()[source].runs


@pytest.mark.parametrize("target", TARGETS)
def test_images_run_our_command_as_an_ordinary_user(target: str) -> None:
    stage = stages()[target]
    assert stage.entrypoint == ["streamgauge"]
    assert "streamgauge" in PROJECT["scripts"]
    assert stage.user == "10001:10001"
    assert stage.copies == [(f"build-{target}", ["/opt/streamgauge"], "/opt/streamgauge")], (
        "no sources, no compiler"
    )
    assert stage.env["PATH"].startswith("/opt/streamgauge/bin:")


@pytest.mark.parametrize("command", [*compose.SETTINGS, "keys create", "keys enrol"])
def test_commands_exist(command: str) -> None:
    done = CliRunner().invoke(app, [*command.split(), "--help"])
    assert done.exit_code == 0, done.output
    assert "Usage" in done.output


def test_targets_and_compose_agree() -> None:
    assert {service["build"]["target"] for service in compose.ours().values()} == set(TARGETS)
    for service in compose.settled().values():
        stage = compose.stage_of(service)
        assert stage.cmd == service["command"] or stage.name == "tools"


@pytest.mark.parametrize("target", TARGETS)
def test_versions_are_pinned_and_extras_exist(target: str) -> None:
    installs = [each for each in builds(target) if "pip install" in each]
    assert installs
    assert all("-c constraints.txt" in each for each in installs)
    extras = {
        name for each in installs for found in re.findall(r"\.\[([\w,]+)\]", each) for name in found.split(",")
    }
    assert extras <= set(PROJECT["optional-dependencies"])
    assert extras == {"edge": {"edge"}, "tools": {"data", "librdkafka"}}.get(target, {target, "postgres"})


def test_only_the_edge_image_has_torch_and_that_for_cpus() -> None:
    with_torch = {
        name for name, parts in PROJECT["optional-dependencies"].items() if any("torch" in p for p in parts)
    }
    assert with_torch == {"edge"}
    assert [t for t in TARGETS if any(TORCH_INDEX in run for run in builds(t))] == ["edge"]
    first, second = [run for run in builds("edge") if "pip install" in run]
    assert first.endswith(f"{TORCH_INDEX} torch"), "before the package, so that pip does not take the CUDA build"
    assert ".[edge]" in second
    assert re.search(r"^torch==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copies = [copy for stage in stages().values() for copy in stage.copies]
    sources = {source for origin, copied, _ in copies if origin is None for source in copied}
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert sources == kept
    packages = TOOLS["setuptools"]["packages"]["find"]["include"]
    assert {name.rstrip("*") for name in packages} < sources
    assert {PROJECT["readme"], *PROJECT["license-files"]} < sources


@pytest.mark.parametrize("name", sorted(compose.settled()))
def test_the_health_check_asks_where_the_service_answers(name: str, load: Load) -> None:
    service = compose.services()[name]
    stage, command = compose.stage_of(service), compose.command_of(service)
    settings: ServiceSettings = load(compose.SETTINGS[command], compose.environment_of(service))
    if command == "replay":
        assert stage.healthcheck is None
        return
    assert stage.healthcheck is not None
    found = re.search(r"http://127\.0\.0\.1:(\d+)/healthz'", stage.healthcheck)
    assert found
    host, port = (settings.metrics_host, settings.metrics_port)
    if command == "api":
        host, port = getattr(settings, "host", ""), getattr(settings, "port", 0)
    assert (host, port) == ("0.0.0.0", int(found[1]))
    assert stage.ports == {port}


@pytest.mark.parametrize("healthy", [True, False])
def test_the_health_check_command_works(healthy: bool) -> None:
    status = serve_status("127.0.0.1", 0, lambda: True, lambda: healthy)
    try:
        check = stages()["edge"].healthcheck
        assert check is not None
        code = check.partition('"-c", "')[2].removesuffix('"]').replace(":9100/", f":{status.port}/")
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    finally:
        status.close()
    assert (done.returncode == 0) == healthy, done.stderr


def test_the_api_answers_health_checks_without_its_token_and_metrics_with_it(tmp_path: Path) -> None:
    database = kit.database(tmp_path)
    parts = ApiParts(Store(database), kit.verdicts(database), token="t" * 24)
    with TestClient(create_app(parts)) as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers={"Authorization": f"Bearer {'t' * 24}"}).status_code == 200
    database.close()
