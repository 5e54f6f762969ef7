"""The made-up plant's records as a CSV file, and what an alert on them says, whoever raised it."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from schemas import Alert
from services.backtest.chain import Chain
from services.backtest.records import Recording
from services.edge_node.bundle import Bundle
from services.edge_node.scorer import Scorer
from streamgauge.profiles.profile import Profile
from streamgauge.stream.grouping import GroupingPolicy

Said = list[tuple[str, float, float, int, float]]
COLUMNS = ("time", "machine", "asset", "flow", "level", "pressure", "power", "mode", "label")


def write_csv(path: Path, records: Iterable[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(records)
    return path


def said_by(alerts: Iterable[Alert]) -> Said:
    """Entity, first and last time, records and worst score of each alert."""
    return sorted(
        (a.entity, a.first.time.timestamp(), a.last.time.timestamp(), a.count, round(a.score, 3)) for a in alerts
    )


def said_by_chain(file: Path, profile: Profile, bundle: Bundle, policy: GroupingPolicy) -> Said:
    """The same of a backtest's chain over a file."""
    chain = Chain(profile, Scorer(bundle, profile.schema), policy)
    with Recording([str(file)], profile) as recording:
        polls = list(chain.polls(recording.tables()))
    assert not any(poll.rejected for poll in polls)
    return sorted(
        (a.entity, round(a.first.time, 6), round(a.last.time, 6), a.count, round(a.worst.score, 3))
        for poll in polls
        for piece in poll.pieces
        for a in piece.alerts
    )
