"""What the demo knows of its own progress, asked from the running services every half second."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from services.demo.sources import SITES, Source
from services.demo.stack import Stack
from services.demo.truth import Scores, Truth

MILESTONES = (
    "broker",
    "topics and keys",
    "services started",
    "API answers",
    "first record scored",
    "agreement (release 1)",
    "first trained model (release 2)",
    "all nodes watching",
    "first attack",
    "first alert",
)


@dataclass
class View:
    """What the screen shows.

    Attributes:
        source: what is streamed.
        elapsed_s: since the start.
        milestones: name -> seconds after the start.
        nodes: site -> the API's row about its node.
        rates: site -> records scored a second.
        rounds, releases: newest first, as the API gives them.
        stream: newest line of progress of what sends the records.
        scores: beside the truth.
        alerts: alerts that the API knows.
    """

    source: Source
    elapsed_s: float = 0.0
    milestones: dict[str, float] = field(default_factory=dict)
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    rounds: list[dict[str, Any]] = field(default_factory=list)
    releases: list[dict[str, Any]] = field(default_factory=list)
    stream: dict[str, Any] = field(default_factory=dict)
    scores: Scores = field(default_factory=lambda: Scores(0, 0, 0, 0, 0, 0, 0))
    alerts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def release_seq(self) -> int:
        """The newest release, 0 before the first."""
        return max((int(r["release_seq"]) for r in self.releases), default=0)

    def problems(self) -> list[str]:
        """What should have happened and did not; empty if all did."""
        found = [f"the first scored record of {site}" for site in SITES if not self._scored(site)]
        if not self.alerts:
            found.append("the first alert")
        if self.release_seq < 2:
            found.append(f"the first trained model (release 2; so far {self.release_seq})")
        return found

    def _scored(self, site: str) -> int:
        return int(self.nodes.get(site, {}).get("records_scored", 0))


class Watcher:
    """Refreshes a view."""

    def __init__(self, stack: Stack, truth: Truth, source: Source) -> None:
        self.view = View(source)
        self._stack, self._truth = stack, truth
        self._before: dict[str, tuple[float, int]] = {}

    def reached(self, milestone: str, elapsed_s: float) -> None:
        """Note the first time something happened."""
        self.view.milestones.setdefault(milestone, elapsed_s)

    def refresh(self, elapsed_s: float) -> View:
        """Ask API, source and truth."""
        view = self.view
        view.elapsed_s = elapsed_s
        view.stream = self._stack.progress() or view.stream
        if (nodes := self._stack.get("/nodes")) is not None:
            self.reached("API answers", elapsed_s)
            view.nodes = {str(row["status"]["site"]): row["status"] for row in nodes["items"]}
            view.rounds = self._items("/rounds?limit=5") or view.rounds
            view.releases = self._items("/releases?limit=5") or view.releases
            view.alerts = self._items("/alerts?limit=3") or view.alerts
        self._note_rates(elapsed_s)
        self._truth.watching |= {site for site, row in view.nodes.items() if row["phase"] in ("watching", "held")}
        view.scores = self._truth.scores()
        self._note_milestones(elapsed_s)
        return view

    def _items(self, path: str) -> list[dict[str, Any]]:
        answer = self._stack.get(path)
        items: list[dict[str, Any]] = answer["items"] if answer else []
        return items

    def _note_rates(self, elapsed_s: float) -> None:
        for site, row in self.view.nodes.items():
            now, scored = elapsed_s, int(row["records_scored"])
            before, earlier = self._before.get(site, (now, scored))
            if now - before >= 2 or site not in self._before:
                self.view.rates[site] = (scored - earlier) / (now - before) if now > before else 0.0
                self._before[site] = (now, scored)

    def _note_milestones(self, elapsed_s: float) -> None:
        view = self.view
        happened = {
            "first record scored": any(int(r["records_scored"]) for r in view.nodes.values()),
            "agreement (release 1)": view.release_seq >= 1,
            "first trained model (release 2)": view.release_seq >= 2,
            "all nodes watching": len(self._truth.watching) == len(SITES),
            "first attack": sum(view.stream.get("attacks", {}).values()) > 0,
            "first alert": bool(view.alerts),
        }
        if happened["all nodes watching"] and "all nodes watching" not in view.milestones:
            self._stack.begin_attacks()
        for milestone, yes in happened.items():
            if yes:
                self.reached(milestone, elapsed_s)
