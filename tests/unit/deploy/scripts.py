"""Runs the shell scripts of deploy/."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from tests.unit.deploy import compose
from tests.unit.deploy.images import ROOT


def executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def run(*command: str | Path, path: Path, **variables: str) -> str:
    environment = os.environ | variables | {"PATH": f"{path}:{os.environ['PATH']}"}
    done = subprocess.run([str(c) for c in command], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def script_of(service: dict[str, Any]) -> Path:
    """The script that a service of the compose file runs."""
    shell, script = service["entrypoint"]
    assert shell == "/bin/sh"
    mount = compose.mount_for(service, script)
    assert mount is not None
    return ROOT / mount.source
