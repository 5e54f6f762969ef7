"""What a replay says of itself: a bar on a terminal, a line of JSON a second elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

Clock = Callable[[], float]
Share = Callable[[int], float | None]
"""The share of all that lies before a row, over all loops; None where there is no end or it is not known yet."""


@dataclass
class State:
    """How far a replay is.

    Attributes:
        phase: sending; of bursts normal, burst or pause; in the end done or stopped.
        sent: site -> records acknowledged.
        attacks: site -> abnormal ones among them.
        faults: kind -> records hit.
        rate: records a second since the last report.
        behind_s: by how much sending is late.
        event_time: of the last record, ISO 8601.
        share: of all that is to be sent; None where there is no end, or while nothing is known of it.
        left_s: seconds to the end at the pace so far, None where unknown.
    """

    phase: str = "sending"
    sent: dict[str, int] = field(default_factory=dict)
    attacks: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    rate: float = 0.0
    behind_s: float = 0.0
    event_time: str | None = None
    share: float | None = None
    left_s: float | None = None


def event_time_text(seconds: float | None) -> str | None:
    """Seconds since the epoch in ISO 8601."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def time_left(share: float | None, share_before: float, elapsed_s: float) -> float | None:
    """Seconds to the end, if it goes on as it did since `share_before`."""
    if share is None or share <= share_before:
        return None
    return round(elapsed_s * (1 - share) / (share - share_before), 1)


class Screen(Protocol):
    """Shows states; a context manager."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def show(self, state: State) -> None:
        """Show the newest state."""


class JsonLines:
    """One object a line, with `extra` in it."""

    def __init__(self, out: TextIO, extra: Mapping[str, int]) -> None:
        self._out, self._extra = out, extra

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def show(self, state: State) -> None:
        """Write a line."""
        print(json.dumps({**asdict(state), **self._extra}), file=self._out, flush=True)


class Bar:
    """A bar with rate, lag and time left; only the last state stays."""

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[said]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._task = self._bar.add_task("sending", total=None, said="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, state: State) -> None:
        """Move the bar."""
        said = [f"{sum(state.sent.values()):,} records", f"{state.rate:,.0f}/s"]
        if state.behind_s > 0.1:
            said.append(f"{state.behind_s:.1f} s behind")
        if state.event_time:
            said.append(f"at {state.event_time[:19]}")
        if state.left_s is not None:
            said.append(f"{state.left_s:.0f} s left")
        if state.faults:
            said.append(", ".join(f"{kind} {count}" for kind, count in state.faults.items()))
        total = None if state.share is None else 1.0
        self._bar.update(
            self._task, description=state.phase, total=total, completed=state.share or 0.0, said=" · ".join(said)
        )


def screen(metrics_port: int) -> Screen:
    """The bar where standard output is a terminal."""
    console = Console()
    return Bar(console) if console.is_terminal else JsonLines(sys.stdout, {"metrics_port": metrics_port})
