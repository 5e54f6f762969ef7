"""Which machine and which versions a result belongs to."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
BUSY = 2.0
"""A load average above it before the start: others used the machine too."""


def machine(packages: Sequence[str]) -> dict[str, Any]:
    """Facts for the result's head, with the versions of these packages."""
    cpu = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "cpu": cpu[0] if cpu else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / (1 << 20), 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "load_before": os.getloadavg()[0],
    }


@cache
def commit() -> str:
    """Short name of the commit that is checked out; with ``+`` where tracked files differ from it."""
    head, changed = (
        subprocess.run(["git", *words], capture_output=True, text=True, check=False, cwd=PROJECT).stdout.strip()
        for words in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
    )
    return f"{head}+" if changed else head


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
