"""Reads the Dockerfile: stages, what they inherit, what they copy."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[3]


@dataclass
class Stage:
    """One stage with everything it inherits from the stage it starts from."""

    name: str
    base: str
    env: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    cmd: list[str] = field(default_factory=list)
    healthcheck: str | None = None
    user: str | None = None
    ports: set[int] = field(default_factory=set)
    runs: list[str] = field(default_factory=list)
    copies: list[tuple[str | None, list[str], str]] = field(default_factory=list)
    """(from stage or None, sources, destination) of this stage alone."""

    def child(self, name: str) -> Stage:
        return Stage(
            name,
            self.name,
            dict(self.env),
            list(self.entrypoint),
            list(self.cmd),
            self.healthcheck,
            self.user,
            set(self.ports),
            list(self.runs),
        )


@cache
def stages() -> dict[str, Stage]:
    """All stages of the Dockerfile by name."""
    text = (ROOT / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    found: dict[str, Stage] = {}
    current: Stage | None = None
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            current = found[base].child(name) if base in found else Stage(name, base)
            found[name] = current
        elif word:
            assert current is not None
            _apply(current, word, rest.strip())
    return found


def _apply(stage: Stage, word: str, rest: str) -> None:
    match word:
        case "ENV":
            stage.env |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        case "ENTRYPOINT":
            stage.entrypoint = json.loads(rest)
        case "CMD":
            stage.cmd = json.loads(rest)
        case "HEALTHCHECK":
            stage.healthcheck = None if rest == "NONE" else rest
        case "USER":
            stage.user = rest
        case "EXPOSE":
            stage.ports |= {int(port) for port in rest.split()}
        case "RUN":
            stage.runs.append(rest)
        case "COPY":
            words = rest.split()
            source = words.pop(0).removeprefix("--from=") if words[0].startswith("--from=") else None
            stage.copies.append((source, words[:-1], words[-1]))
        case _:
            assert word in {"WORKDIR", "STOPSIGNAL"}, f"this reader does not know {word}"


def made_directories(stage: Stage) -> set[str]:
    """Directories that `install -d` makes for the user of the image."""
    found = re.findall(r"install -d -o streamgauge -g streamgauge -m 0700((?:\s+/\S+)+)", " ".join(stage.runs))
    return {path for group in found for path in group.split()}
