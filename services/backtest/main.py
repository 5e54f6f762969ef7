"""The command `backtest`: data and detector in, an HTML page, JSON and a table on the screen out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Screen

from services.backtest.chain import Chain
from services.backtest.choosing import Choice, Survey, survey
from services.backtest.fitting import FEWEST_ROWS, fit, learned_from
from services.backtest.measuring import Measured, Measuring
from services.backtest.records import Recording
from services.backtest.report import html_of
from services.edge_node.bundle import Bundle
from services.edge_node.scorer import Scorer
from services.runtime.atomic import write_atomic
from services.runtime.lifecycle import run_command
from services.runtime.progress import progress_bar
from streamgauge.errors import ConfigurationError
from streamgauge.profiles.loaders.table import Table
from streamgauge.profiles.profile import Profile, load_profile
from streamgauge.stream.grouping import GroupingPolicy


@dataclass(frozen=True)
class Request:
    """The command's arguments; see `streamgauge backtest --help`."""

    profile: str
    files: Sequence[str]
    detector: str = "autoencoder"
    bundle: Path | None = None
    train: str | None = None
    out: Path | None = None
    gap_s: float | None = None
    false_alarms_per_day: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Answer:
    """What a backtest found; `head` says with what."""

    head: dict[str, Any]
    measured: Measured
    html: str


def backtest(request: Request) -> Answer:
    """Train or load, score, compare; the files are read once to look, once to train and once to score.

    Raises:
        ConfigurationError, DataError, StateError: files, options or bundle are wrong.
    """
    profile = load_profile(request.profile)
    # A gap shorter than the time between two records would make every record an alert of its own.
    gap_s = request.gap_s or max(60.0, 2 * (profile.sampling_period_s or 0.0))
    policy = GroupingPolicy(gap_s=gap_s, max_duration_s=max(3600.0, 60 * gap_s))
    with Recording(request.files, profile) as recording:
        known = survey(recording.tables())
        trained = _trained_rows(request, recording, known)
        bundle, origin = _bundle(request, profile, recording, known, policy)
        threshold = bundle.info.threshold
        if threshold is None:
            raise ConfigurationError(
                f"--bundle {request.bundle}: has no threshold; only a calibrated one raises alerts"
            )
        tables = Choice(request.train, known).others(recording.tables()) if trained else recording.tables()
        chain = Chain(profile, Scorer(bundle, profile.schema), policy)
        measured = _measured(chain, tables, Measuring(profile, known.rows - trained, gap_s))
    line = (
        f"Alarm line {threshold.value:.4g} for {request.false_alarms_per_day:g} false-alarm events a day, entity"
        f"{', extrapolated' if threshold.extrapolated else ''}."
        if request.bundle is None
        else f"Alarm line {threshold.value:.4g}, the bundle's."
    )
    head = {
        "profile": profile.name,
        "title": profile.title,
        "detector": bundle.info.detector,
        "bundle_id": bundle.bundle_id,
        "origin": origin,
        "line": line,
        "gap_s": gap_s,
        "trained_on_rows": trained if request.bundle is None else 0,
    }
    return Answer(head, measured, html_of(head, measured))


def _measured(chain: Chain, tables: Iterable[Table], measuring: Measuring) -> Measured:
    with progress_bar() as bar:
        task = bar.add_task("scoring", total=measuring.rows)

        def told() -> Iterator[Table]:
            for table in tables:
                yield table
                bar.update(task, advance=len(table))

        for poll in chain.polls(told()):
            measuring.take(poll)
    return measuring.result()


def _trained_rows(request: Request, recording: Recording, known: Survey) -> int:
    """How many rows are not tested."""
    if request.bundle is not None and request.train is None:
        return 0
    count = sum(map(len, Choice(request.train, known).chosen(recording.tables())))
    if not FEWEST_ROWS <= count < known.rows:
        raise ConfigurationError(
            f"{count} of {known.rows} records are to be trained on; it needs {FEWEST_ROWS}, and one must be left "
            "to test: say --train ROWS, or --bundle PATH"
        )
    return count


def _bundle(
    request: Request, profile: Profile, recording: Recording, known: Survey, policy: GroupingPolicy
) -> tuple[Bundle, str]:
    """The bundle, and where it comes from."""
    if request.bundle is not None:
        return Bundle.load(request.bundle), f"bundle {request.bundle.name}"
    data = learned_from(Choice(request.train, known).chosen(recording.tables()), profile, policy)
    made = fit(data, profile, request.detector, policy.gap_s, request.false_alarms_per_day, request.seed)
    where = (
        f"the first {request.train[5:]} of each entity" if request.train and "each:" in request.train else "before"
    )
    return made, f"trained on {len(data.x):,} of {data.read:,} records ({where}), none of them labelled abnormal"


def main(request: Request) -> int:
    """Run the command; returns the exit code."""
    return run_command(lambda: _run(request), OSError)


def _run(request: Request) -> int:
    if request.out is not None and (request.out.is_dir() or not request.out.resolve().parent.is_dir()):
        raise ConfigurationError(f"--out {request.out}: give a file in a folder that exists")
    answer = backtest(request)
    if request.out is not None:
        plain = {**answer.head, **answer.measured.to_dict()}
        write_atomic(request.out, answer.html.encode(), mode=0o644)
        text = json.dumps(plain, indent=1, allow_nan=False)
        write_atomic(request.out.with_suffix(".json"), text.encode() + b"\n", mode=0o644)
    Console().print(_screen(answer))
    if request.out is not None:
        print(f"written to {request.out} and {request.out.with_suffix('.json')}")
    return 0


def _screen(answer: Answer) -> Screen:
    head, numbers = answer.head, answer.measured.numbers
    screen = Screen(title=f"{head['title']}: {head['detector']}, {head['origin']}", caption=head["line"])
    screen.add_column("")
    screen.add_column("", justify="right")
    for name, value in numbers.items():
        if value is None or value == {}:
            continue
        shown = (
            f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
        )
        screen.add_row(name.replace("_", " "), shown)
    if answer.measured.telling:
        screen.add_row("most telling", ", ".join(list(answer.measured.telling)[:3]))
    return screen
