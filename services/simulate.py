"""`streamgauge simulate`: data and settings in, a table on the screen and JSON out."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.table import Table as Screen

from services.runtime.atomic import write_atomic
from services.runtime.lifecycle import run_command
from services.runtime.progress import progress_bar
from streamgauge.errors import ConfigurationError
from streamgauge.federation.merging import MergePolicy
from streamgauge.profiles.loaders import Table, load
from streamgauge.profiles.loaders.own_file import load_own
from streamgauge.profiles.profile import Profile, load_profile
from streamgauge.simulation import Metrics, RoundResult, SimulationConfig, SimulationResult, Space, simulate
from streamgauge.simulation.division import Divided, Division, divide

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SAMPLE = "nsl-kdd-sample"
T = TypeVar("T", bound="DataclassInstance")


@dataclass(frozen=True)
class Request:
    """The command's arguments.

    Attributes:
        data: folder, file or `SAMPLE`.
        profile: bundled name or path.
        files: patterns; empty: the whole data set.
        named: settings that have an option of their own.
        settings: ``NAME=VALUE``, VALUE as JSON or else as text.
        seed: of everything.
        out: file for the JSON; None: screen only.
    """

    data: str
    profile: str
    files: tuple[str, ...]
    named: Mapping[str, Any]
    settings: tuple[str, ...]
    seed: int
    out: Path | None


def main(request: Request) -> int:
    """Run the simulation; returns the exit code."""
    return run_command(lambda: _run(request), OSError)


def _run(request: Request) -> int:
    if "help" in request.settings:
        print("\n".join(known_settings()))
        return 0
    values = {**request.named, **_parsed(request.settings)}
    if "split" in values:
        values["kind"] = values.pop("split")
    division = _made(Division, values)
    policy = _made(MergePolicy, values)
    config = _made(SimulationConfig, {**values, "merge": policy})
    _check_out(request.out)
    profile = load_profile(request.profile)
    divided = divide(_table(request, profile), profile, division, request.seed)
    result = _simulated(config, divided, profile, request.seed)
    if request.out:
        answer = {"data": _data(request, division, divided), **result.to_dict()}
        write_atomic(request.out, json.dumps(answer, indent=1, allow_nan=False).encode(), mode=0o644)
    Console().print(_screen(result, divided))
    return 0


def known_settings() -> list[str]:
    """``name = default`` of every setting."""
    lines = []
    for cls in (Division, SimulationConfig, MergePolicy):
        for field in fields(cls):
            name = "split" if (cls, field.name) == (Division, "kind") else field.name
            if name != "merge":
                value = field.default if field.default is not MISSING else {}
                lines.append(f"{name} = {json.dumps(value)}")
    return lines


def _parsed(settings: tuple[str, ...]) -> dict[str, Any]:
    known = {line.partition(" ")[0] for line in known_settings()}
    values: dict[str, Any] = {}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals or name not in known:
            raise ConfigurationError(f"--set {text}: use NAME=VALUE, NAME one of {', '.join(sorted(known))}")
        try:
            values[name] = json.loads(value)
        except json.JSONDecodeError:
            values[name] = value
    return values


def _made(cls: type[T], values: Mapping[str, Any]) -> T:
    own = {f.name: values[f.name] for f in fields(cls) if f.name in values}
    try:
        return TypeAdapter(cls).validate_python(own)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        if (cls, name) == (Division, "kind"):
            name = "split"
        where = f"--set {name}={first['input']!r}: " if name else ""
        raise ConfigurationError(f"{where}{first['msg'].removeprefix('Value error, ')}") from error


def _check_out(out: Path | None) -> None:
    """Said before the work, not after it."""
    if out is not None and (out.is_dir() or not out.resolve().parent.is_dir()):
        raise ConfigurationError(f"--out {out}: give a file in a folder that exists")


def _table(request: Request, profile: Profile) -> Table:
    if request.data == SAMPLE:
        sample = resources.files("services.replay") / "samples" / "nsl_kdd_sample.csv.gz"
        with resources.as_file(sample) as path:
            return load_own(path, profile)
    path = Path(request.data)
    return load(profile.name, path, files=request.files) if path.is_dir() else load_own(path, profile)


def _simulated(config: SimulationConfig, divided: Divided, profile: Profile, seed: int) -> SimulationResult:
    with progress_bar() as bar:
        task = bar.add_task("rounds", total=config.rounds)

        def watch(done: RoundResult, _: object) -> None:
            bar.update(task, advance=1, description=f"loss {done.loss_after:.4f}, F1 {done.mean.f1:.4f}")

        return simulate(
            config,
            divided.clients,
            seed,
            space=Space.of(profile.schema),
            common=divided.common if len(divided.common) else None,
            watch=watch,
            clock=time.monotonic,
        )


def _data(request: Request, division: Division, divided: Divided) -> dict[str, Any]:
    clients = {
        c.name: {
            part: {"rows": len(rows), "abnormal": int((rows.y == 1).sum())}
            for part, rows in (("train", c.train), ("validation", c.validation), ("test", c.test))
        }
        for c in divided.clients
    }
    return {
        "source": Path(request.data).name,
        "profile": request.profile,
        "files": list(request.files),
        "division": asdict(division),
        "clients": clients,
        "common_rows": len(divided.common),
        "left_out": divided.left_out,
    }


def _screen(result: SimulationResult, divided: Divided) -> Screen:
    final, config = result.final, result.config
    seconds = sum(r.seconds for r in result.rounds) / len(result.rounds)
    table = Screen(
        title=f"{config['detector']}, {config['mode']}: round {final.number} of {len(result.rounds)}",
        caption=f"{seconds:.2f} s a round; {result.bytes_sent:,} bytes sent, raw rows {result.raw_bytes:,}"
        + _left_out(list(final.clients.values())),
    )
    for name in ("client", "trained on", "accuracy", "F1", "always alarm", "AUC", "false alarms"):
        table.add_column(name, justify="left" if name == "client" else "right")
    rows = {c.name: (f"{len(c.train):,}", final.clients[c.name]) for c in divided.clients}
    rows["mean"] = ("", final.mean)
    if final.common:
        rows["common test"] = ("", final.common)
    for name, (trained_on, m) in rows.items():
        shown = (m.accuracy, m.f1, m.always_alarm_f1, m.auc, m.false_alarm_rate)
        hostile = " (hostile)" if name in result.hostile else ""
        table.add_row(f"{name}{hostile}", trained_on, *(f"{value:.4f}" for value in shown))
    return table


def _left_out(parts: Sequence[Metrics]) -> str:
    """Which means are not over all clients: a client without abnormal test rows has no F1, and so on."""
    shown = {"F1 and always alarm": "f1", "AUC": "auc", "false alarms": "false_alarm_rate"}
    counts = {what: sum(not math.isnan(getattr(part, name)) for part in parts) for what, name in shown.items()}
    fewer = [f"{what} over {count}" for what, count in counts.items() if count < len(parts)]
    return f"; mean of {len(parts)} clients, but {', '.join(fewer)}" if fewer else ""
