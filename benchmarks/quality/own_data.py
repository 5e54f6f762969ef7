"""Tables on data that users bring: what they need, and where runs and results go."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.quality.__main__ import measure
from benchmarks.quality.table import Table
from streamgauge.errors import ConfigurationError
from streamgauge.registry import Registry


@dataclass(frozen=True)
class Own:
    """A table on a user's files.

    Attributes:
        option: of the command, that names them.
        what: they are, in words.
        table: makes the table; its rows read the data set below `Context.data`.
        check: raises what is wrong with the files, before any row runs.
    """

    option: str
    what: str
    table: Callable[[], Table]
    check: Callable[[Path], object]


OWN: Registry[Own] = Registry("table on own data", "benchmarks.quality.own")
"""All of them by name."""


def run(
    name: str, given: Mapping[str, Path | None], seeds: int, out: Path, console: Console, only: str | None = None
) -> int:
    """Measure a table; 1 if a row failed. An interrupted run goes on as long as the files stay as they are.

    Args:
        name: of `OWN`.
        given: option -> path; the table's own must be there.
        seeds: runs of every row, at least 1.
        out: folder for the JSON, Markdown, plot and kept runs.
        console: for progress.
        only: rows whose key contains it are run, the others stay as they are kept; None: all.
    Raises:
        ConfigurationError: no path, nothing there, or not the data set.
    """
    own = OWN[name]
    path = given.get(own.option)
    if path is None or not path.exists():
        raise ConfigurationError(f"{name} needs --{own.option} PATH: {own.what}; got {path}")
    own.check(path)
    options = argparse.Namespace(seeds=seeds, only=only, fresh=False)
    return measure(own.table(), path, options, console, out, kept=out / f"runs-{fingerprint(path)}", results=out)


def fingerprint(path: Path) -> str:
    """Of the names and sizes of the files below a path: kept runs belong to them."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    text = "\n".join(f"{file.relative_to(path)} {file.stat().st_size}" for file in files)
    return hashlib.sha256(f"{path.resolve()}\n{text}".encode()).hexdigest()[:12]
