"""What a replay is asked to do, read from the texts of the command line."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from services.replay.scenario import Scenario
from streamgauge.errors import ConfigurationError

SITE = "{site}"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TOPIC = re.compile(r"[A-Za-z0-9._{}-]{1,200}")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_BURSTS = {"normal": 20_000, "length": 2_000, "pause": 1_000, "share": 0.05, "run": 40}
FaultKind = Literal["drop", "duplicate", "reorder", "late", "corrupt", "stuck"]
_FAULTS: dict[FaultKind, str] = {
    "drop": "drop:SHARE",
    "duplicate": "duplicate:SHARE",
    "reorder": "reorder:SHARE:DURATION",
    "late": "late:SHARE:DURATION",
    "corrupt": "corrupt:SHARE",
    "stuck": "stuck:FIELD:SHARE:DURATION",
}


class Site(NamedTuple):
    """A site, and its share of the records where they are dealt out."""

    name: str
    share: float


class Split(NamedTuple):
    """How records are split over sites; `alpha` and `column` are those of ``dirichlet``."""

    kind: Literal["stage", "time", "entity", "dirichlet"]
    alpha: float = 1.0
    column: str = ""


class Start(NamedTuple):
    """Where event time starts: at the data's own, or at a moment, or so long before now."""

    original: bool
    at_s: float | None = None
    before_now_s: float = 0.0

    def moment(self, now_s: float) -> float:
        """Seconds since the epoch."""
        return self.at_s if self.at_s is not None else now_s - self.before_now_s


class Fault(NamedTuple):
    """A fault: the share of records it hits (`stuck`: at which it begins), how long, and which field is stuck."""

    kind: FaultKind
    share: float
    seconds: float = 0.0
    field: str = ""


@dataclass(frozen=True)
class ReplayOptions:
    """What is replayed, how fast, to which sites; see `streamgauge replay --help`.

    Attributes:
        rate: records a second; None: by event time or as fast as possible.
        speed: seconds of event time a second.
        unpaced: as fast as possible.
        every_s: event time from one record to the next where the data have none.
        longest_gap_s: a longer time without records is waited for only so long.
        stop_row: first row that is not sent; None: the last of the data.
        loops: how often all is sent, 0: again and again.
        columnar: records in a message; 0: one JSON object each.
    """

    profile: str
    files: tuple[str, ...]
    topic: str
    sites: tuple[Site, ...] = (Site("site-1", 1.0),)
    split: Split | None = None
    bursts: Scenario | None = None
    rate: float | None = None
    speed: float | None = None
    unpaced: bool = False
    every_s: float | None = None
    longest_gap_s: float = math.inf
    start: Start = field(default=Start(True))
    start_row: int = 0
    stop_row: int | None = None
    loops: int = 1
    columnar: int = 0
    send_labels: bool = False
    faults: tuple[Fault, ...] = field(default=())
    seed: int = 0

    def __post_init__(self) -> None:
        if not _TOPIC.fullmatch(self.topic):
            raise wrong("--topic", self.topic, "letters, digits, '.', '_', '-' and {site}")
        if len(self.sites) > 1 and SITE not in self.topic:
            raise wrong("--topic", self.topic, f"a pattern with {SITE}: every site has a topic of its own")
        if len(self.sites) > 1 and not (self.split or self.bursts):
            raise ConfigurationError(f"{len(self.sites)} sites need --split, or --bursts, which deals records out")
        if self.split and self.bursts:
            raise ConfigurationError("--bursts deals records out to the sites by their shares; leave out --split")
        if self.unpaced and (self.rate or self.speed):
            raise ConfigurationError("--max is as fast as possible: leave out --rate and --speed")
        if self.stop_row is not None and self.stop_row <= self.start_row:
            raise wrong("--stop-row", str(self.stop_row), f"a row after --start-row, which is {self.start_row}")

    def topic_of(self, site: Site) -> str:
        """The topic of a site."""
        return self.topic.replace(SITE, site.name)


def wrong(option: str, value: str, allowed: str) -> ConfigurationError:
    """An error that says what to write instead."""
    return ConfigurationError(f"{option} {value}: write {allowed}")


def read_rate(text: str | None) -> float | None:
    """``1000/s`` or ``1000``: records a second."""
    return None if text is None else _positive("--rate", text, text.removesuffix("/s"), "records a second: 1000/s")


def read_speed(text: str | None) -> float | None:
    """``100x`` or ``100``: seconds of event time a second."""
    return None if text is None else _positive("--speed", text, text.removesuffix("x"), "a factor: 1x, 100x")


def _positive(option: str, text: str, number: str, allowed: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise wrong(option, text, allowed)
    return value


def read_sites(text: str | None) -> tuple[Site, ...]:
    """``6`` for site-1 to site-6, or ``a,b`` or ``a=2,b=1`` with shares."""
    if text is None or text.isdigit():
        count = int(text or 1)
        if not 1 <= count <= 1000:
            raise wrong("--sites", str(text), "a number from 1 to 1000, or names: site-a,site-b")
        return tuple(Site(f"site-{number}", 1.0) for number in range(1, count + 1))
    sites = []
    for part in text.split(","):
        name, given, share = part.strip().partition("=")
        if not _NAME.fullmatch(name):
            raise wrong("--sites", text, "names of letters, digits, '.', '_' and '-': site-a=50,site-b=30")
        sites.append(Site(name, _positive("--sites", text, share, "shares above 0") if given else 1.0))
    if len({site.name for site in sites}) < len(sites):
        raise wrong("--sites", text, "each name once")
    return tuple(sites)


def read_split(text: str | None) -> Split | None:
    """``stage``, ``time``, ``entity`` or ``dirichlet:ALPHA:COLUMN``."""
    if text is None:
        return None
    kind, _, rest = text.partition(":")
    if kind == "dirichlet":
        alpha, _, column = rest.partition(":")
        if column:
            return Split("dirichlet", _positive("--split", text, alpha, "an alpha above 0: 0.3"), column)
    for simple in ("stage", "time", "entity"):
        if text == simple:
            return Split(simple)
    raise wrong("--split", text, "stage, time, entity or dirichlet:ALPHA:COLUMN, e.g. dirichlet:0.3:service")


def read_bursts(text: str | None) -> Scenario | None:
    """``normal=20000,length=2000,pause=1000,share=0.05,run=40``, each optional; ``default`` for all of these."""
    if text is None:
        return None
    values: dict[str, float] = dict(_BURSTS)
    for part in text.split(",") if text != "default" else ():
        name, _, number = part.strip().partition("=")
        try:
            if name not in _BURSTS:
                raise ValueError
            values[name] = float(number) if name == "share" else int(number)
        except ValueError:
            raise wrong("--bursts", text, "default, or normal=20000,length=2000,pause=1000,share=0.05") from None
    if not 0 <= values["share"] <= 0.5 or min(values["length"], values["run"]) < 1 or min(values.values()) < 0:
        raise wrong("--bursts", text, "a share from 0 to 0.5 and numbers of records")
    normal, length, pause, run = (int(values[name]) for name in ("normal", "length", "pause", "run"))
    return Scenario(normal, length, pause, values["share"], run)


def read_start(text: str | None, *, has_times: bool) -> Start:
    """``original``, ``now``, ``now-5d`` or a time in ISO 8601; None: the data's own times, or now without any."""
    if text is None:
        return Start(has_times)
    if text == "original":
        if not has_times:
            raise wrong("--times", text, "now, now-5d or a time: the profile's records have no time of their own")
        return Start(True)
    if text.startswith("now"):
        return Start(False, before_now_s=read_duration("--times", text[4:]) if text[3:4] == "-" else 0.0)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise wrong("--times", text, "original, now, now-5d or 2026-01-31T08:00:00") from None
    return Start(False, at_s=(moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def read_duration(option: str, text: str) -> float:
    """``30``, ``30s``, ``5m``, ``2h`` or ``1d`` in seconds."""
    found = _DURATION.fullmatch(text)
    if found is None or float(found[1]) == 0:
        raise wrong(option, text, "a duration above 0: 30s, 5m, 2h, 1d")
    return float(found[1]) * _SECONDS[found[2]]


def read_fault(text: str) -> Fault:
    """One fault, as in `_FAULTS`."""
    kind, *rest = text.split(":")
    for known, pattern in _FAULTS.items():
        if kind == known and len(rest) == pattern.count(":"):
            field_ = rest.pop(0) if known == "stuck" else ""
            share = _positive("--fault", text, rest[0], pattern)
            if share <= 1:
                seconds = read_duration("--fault", rest[1]) if len(rest) > 1 else 0.0
                return Fault(known, share, seconds, field_)
    raise wrong("--fault", text, f"one of {', '.join(_FAULTS.values())}; a share is at most 1")
