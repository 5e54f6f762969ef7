"""`streamgauge bench`: a paper's table on a user's own files."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from services.runtime.lifecycle import EXIT_CONFIGURATION, run_command


def main(name: str, given: Mapping[str, Path | None], seeds: int, out: Path, only: str | None = None) -> int:
    """Measure; returns the exit code."""
    try:
        from benchmarks.quality.own_data import run
    except ModuleNotFoundError as error:
        print(
            f"{error}; the benchmarks are not in the installed package: run this in the project's checkout after "
            "`make bench-quality ARGS=--list`, which installs what they need",
            file=sys.stderr,
        )
        return EXIT_CONFIGURATION
    return run_command(lambda: run(name, given, seeds, out, Console(stderr=True), only), OSError)
