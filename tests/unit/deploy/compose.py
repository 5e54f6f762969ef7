"""Reads docker-compose.yml the way Compose does, as far as the file needs it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml
from pydantic import BaseModel

from services.aggregator.settings import AggregatorSettings
from services.api.settings import ApiSettings
from services.edge_node.settings import EdgeSettings
from services.replay.settings import ReplaySettings
from services.runtime.settings import ServiceSettings
from tests.unit.deploy.images import ROOT, Stage, stages

SETTINGS: dict[str, type[ServiceSettings]] = {
    "edge-node": EdgeSettings,
    "aggregator": AggregatorSettings,
    "api": ApiSettings,
    "replay": ReplaySettings,
}
"""Which settings a command reads."""
PASSWORDS = {"API_TOKEN": "t" * 24, "POSTGRES_PASSWORD": "p" * 24, "GRAFANA_PASSWORD": "g" * 24}
_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?::(\?|-)([^}]*))?\})")


@dataclass(frozen=True)
class Mount:
    """A volume or bind mount."""

    source: str
    target: str
    read_only: bool

    @property
    def is_bind(self) -> bool:
        return self.source.startswith(("./", "/"))


def example_env() -> dict[str, str]:
    """The variables of deploy/env/example.env with the passwords filled in."""
    return env_file("example.env") | PASSWORDS


def env_file(name: str) -> dict[str, str]:
    """An env file as Docker reads it: no quotes, no interpolation."""
    lines = (ROOT / "deploy" / "env" / name).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def interpolate(value: Any, variables: Mapping[str, str]) -> Any:
    """Replace ${NAME}, ${NAME:-default} and ${NAME:?message} in all strings.

    Raises:
        KeyError: a variable that must be set is not.
    """
    if isinstance(value, dict):
        return {key: interpolate(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [interpolate(each, variables) for each in value]
    return _VARIABLE.sub(lambda m: _replaced(m, variables), value) if isinstance(value, str) else value


def _replaced(match: re.Match[str], variables: Mapping[str, str]) -> str:
    name, kind, default = match.groups()
    if name is None:
        return "$"
    if variables.get(name):
        return variables[name]
    if kind != "-":
        raise KeyError(f"{name}: {default}")
    return str(default)


@cache
def raw() -> dict[str, Any]:
    """The file before interpolation; YAML anchors are resolved."""
    parsed: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return parsed


@cache
def composed() -> dict[str, Any]:
    """The file with the example's variables put in."""
    found: dict[str, Any] = interpolate(raw(), example_env())
    return found


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = composed()["services"]
    return found


def ours() -> dict[str, dict[str, Any]]:
    """Services that run our images."""
    return {name: service for name, service in services().items() if "build" in service}


def settled() -> dict[str, dict[str, Any]]:
    """Services that run one of our commands and so read settings."""
    return {name: service for name, service in ours().items() if command_of(service) in SETTINGS}


def command_of(service: Mapping[str, Any]) -> str:
    return str(service["command"][0])


def stage_of(service: Mapping[str, Any]) -> Stage:
    return stages()[service["build"]["target"]]


def environment_of(service: Mapping[str, Any]) -> dict[str, str]:
    """What the process sees: the image's variables, then Compose's."""
    own = {name: str(value) for name, value in service.get("environment", {}).items()}
    return stage_of(service).env | own


def mounts_of(service: Mapping[str, Any]) -> list[Mount]:
    parts = [str(each).split(":") for each in service.get("volumes", [])]
    return [Mount(part[0], part[1], part[2:] == ["ro"]) for part in parts]


def mount_for(service: Mapping[str, Any], path: str) -> Mount | None:
    """The mount that a path inside the container lies on."""
    fitting = [m for m in mounts_of(service) if path == m.target or path.startswith(m.target + "/")]
    return max(fitting, key=lambda m: len(m.target), default=None)


def values_in(model: BaseModel, kind: type) -> list[Any]:
    """All values of one type in a settings object, nested ones too."""
    found: list[Any] = []
    for name in type(model).model_fields:
        value = getattr(model, name)
        for each in value if isinstance(value, tuple) else (value,):
            found += [each] if isinstance(each, kind) else []
            found += values_in(each, kind) if isinstance(each, BaseModel) else []
    return found
