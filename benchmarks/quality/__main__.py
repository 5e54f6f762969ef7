"""`python -m benchmarks.quality [NAME ...]`: measure tables, and write docs/results/quality/."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.machine import commit, machine
from benchmarks.quality.data import data_directory
from benchmarks.quality.report import write_report
from benchmarks.quality.result import result_of
from benchmarks.quality.runs import Kept, Run, run_row
from benchmarks.quality.table import TABLES, Context, Row, Table
from streamgauge.errors import ConfigurationError

PROJECT = Path(__file__).parents[2]
SEEDS = 5
"""Fewer than these are a rough look, not a result."""
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "river")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 1 if a row failed, 2 if nothing could be run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("tables", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="0 ... N-1; fewer than 5 go to var/ only")
    parser.add_argument("--data", type=Path, help="folder with the data sets; default: STREAMGAUGE_DATA")
    parser.add_argument(
        "--only", metavar="TEXT", help="run rows whose key contains it; the others as they are kept"
    )
    parser.add_argument("--fresh", action="store_true", help="run again what is kept in var/quality")
    parser.add_argument("--list", action="store_true", help="print tables and rows")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    try:
        names = options.tables or list(TABLES)
        tables = [TABLES[name]() for name in names]
        if options.list:
            for table in tables:
                print(f"{table.name}: {table.title}", *(f"  {row.key}" for row in table.rows), sep="\n")
            return 0
        if options.seeds < 1:
            raise ConfigurationError(f"--seeds {options.seeds}; give 1 or more, 5 for a result")
        data = data_directory(options.data) if any(table.needs_data for table in tables) else Path()
    except ConfigurationError as error:
        console.print(f"[red]{error}")
        return 2
    return max(measure(table, data, options, console) for table in tables)


def measure(
    table: Table,
    data: Path,
    options: argparse.Namespace,
    console: Console,
    root: Path = PROJECT,
    *,
    kept: Path | None = None,
    results: Path | None = None,
) -> int:
    """Run what is not kept, and write the table; 1 if a row failed.

    A table that lacks runs, or has fewer seeds than a result needs, is written to var/quality, not to docs.
    `kept` and `results` name other folders for runs and table.
    """
    runs = _run_all(table, Kept(kept or root / "var" / "quality" / table.name), data, options, console)
    whole = all(len(found) == options.seeds for found in runs.values())
    directory = results or root / ("docs/results/quality" if whole and options.seeds >= SEEDS else "var/quality")
    directory.mkdir(parents=True, exist_ok=True)
    result = result_of(table, runs, options.seeds, machine(PACKAGES))
    (directory / f"{table.name}.json").write_text(json.dumps(result, indent=1) + "\n")
    write_report(table, result, directory)
    console.print(f"written to {directory.relative_to(root)}/{table.name}.json, .md and plots")
    return int(any(run.failed for found in runs.values() for run in found))


def _run_all(
    table: Table, kept: Kept, data: Path, options: argparse.Namespace, console: Console
) -> dict[str, list[Run]]:
    """Runs of every row: the kept ones and those made now."""
    from threadpoolctl import threadpool_limits

    runs: dict[str, list[Run]] = {row.key: [] for row in table.rows}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress, threadpool_limits(1):
        _one_torch_thread()
        task = progress.add_task(table.name, total=len(table.rows) * options.seeds)
        for row in table.rows:
            for seed in range(options.seeds):
                progress.update(task, description=f"{table.name}: {row.key}, seed {seed}")
                context = Context(data, seed, progress.console.print)
                if run := _one(row, context, kept, options):
                    runs[row.key].append(run)
                    if run.failed:
                        progress.console.print(f"[red]{row.key}, seed {seed}: {run.failed}")
                progress.advance(task)
    return runs


def _one(row: Row, context: Context, kept: Kept, options: argparse.Namespace) -> Run | None:
    wanted = options.only is None or options.only in row.key
    if not (options.fresh and wanted) and (run := kept.get(row, context.seed)):
        return run
    if not wanted:
        return None
    run = run_row(row, context, commit())
    kept.put(row, run)
    return run


def _one_torch_thread() -> None:
    """Results must not depend on the number of cores, and rows are small."""
    import torch

    torch.set_num_threads(1)


if __name__ == "__main__":
    sys.exit(main())
