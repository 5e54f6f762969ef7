"""The command `replay`: texts of the command line to options."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services.replay.main import main
from services.replay.options import (
    ReplayOptions,
    read_bursts,
    read_duration,
    read_fault,
    read_rate,
    read_sites,
    read_speed,
    read_split,
    read_start,
)
from streamgauge.errors import ConfigurationError
from streamgauge.profiles.profile import load_profile


@dataclass(frozen=True)
class Arguments:
    """The command's arguments as typed; see `streamgauge replay --help`."""

    profile: str
    files: Sequence[str]
    topic: str
    sites: str | None = None
    split: str | None = None
    bursts: str | None = None
    rate: str | None = None
    speed: str | None = None
    unpaced: bool = False
    every: str | None = None
    longest_gap: str | None = None
    times: str | None = None
    start_row: int = 0
    stop_row: int | None = None
    loops: int = 1
    columnar: int = 0
    send_labels: bool = False
    faults: Sequence[str] = field(default=())
    seed: int = 0

    def options(self) -> ReplayOptions:
        """Raises ConfigurationError, with what to write instead."""
        profile = load_profile(self.profile)
        if profile.long is not None and self.columnar:
            raise ConfigurationError(
                f"--columnar {self.columnar}: profile {profile.name!r} has layout = 'long', one tag a message; "
                "leave it out, or give a profile with layout = 'wide'"
            )
        timed = profile.time.field is not None and self.bursts is None
        return ReplayOptions(
            profile=self.profile,
            files=tuple(self.files),
            topic=self.topic,
            sites=read_sites(self.sites),
            split=read_split(self.split),
            bursts=read_bursts(self.bursts),
            rate=read_rate(self.rate),
            speed=read_speed(self.speed),
            unpaced=self.unpaced,
            every_s=_seconds(self.every),
            longest_gap_s=read_duration("--longest-gap", self.longest_gap) if self.longest_gap else math.inf,
            start=read_start(self.times, has_times=timed),
            start_row=self.start_row,
            stop_row=self.stop_row,
            loops=self.loops,
            columnar=self.columnar,
            send_labels=self.send_labels,
            faults=tuple(map(read_fault, self.faults)),
            seed=self.seed,
        )


def _seconds(text: str | None) -> float | None:
    return None if text is None else read_duration("--every", text)


def replay(arguments: Arguments, resume: Path | None, bootstrap_servers: str | None) -> int:
    """Run the command; returns the exit code."""

    def options() -> ReplayOptions:
        chosen = arguments.options()
        if resume and chosen.bursts:
            raise ConfigurationError("--resume: bursts are drawn at random and have no end; leave one of them out")
        return chosen

    return main(options, resume, bootstrap_servers)
