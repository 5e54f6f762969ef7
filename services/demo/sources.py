"""What the demo streams: three simulated plants, or a sample of NSL-KDD dealt to three sites."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

SITES = ("site-a", "site-b", "site-c")
_SHARES = {"site-a": 50, "site-b": 30, "site-c": 20}
_TOPIC_CONFIG = {"retention.bytes": str(256 << 20), "message.timestamp.after.max.ms": str((1 << 63) - 1)}


@dataclass(frozen=True)
class Source:
    """A stream for the demo.

    Attributes:
        title: for the heading.
        command: of `streamgauge`, that sends it.
        settings, arguments: of that command, given whether labels are sent along.
        profile: that reads it.
        detector: what is run unless the user chooses another.
        labels: whether labels are sent along to a detector that learns from them.
        speed: seconds of event time a second.
        partitions: of each site's topic.
        each: site -> what is told of its stream.
        phases: phase in the process' progress -> what is told of it.
        aftermath: so many records after an attack its source may still be out of order; 0: records do not follow
            from one another, and attacks are no stretches of them.
        alerts, learning: settings of the nodes.
    """

    title: str
    command: str
    settings: Callable[[bool], Mapping[str, object]]
    arguments: Callable[[bool], tuple[str, ...]]
    profile: str
    detector: str
    labels: bool
    speed: float
    partitions: int
    each: Mapping[str, str]
    phases: Mapping[str, str]
    aftermath: int
    alerts: Mapping[str, object] = field(default_factory=dict)
    learning: Mapping[str, object] = field(default_factory=dict)


_PLANT_SPEED = 500.0
_RATE = 1500
_NSL_SPEED = 100.0


def _plants(labels: bool) -> Mapping[str, object]:
    return {
        "SITES": SITES,
        "SPEED": _PLANT_SPEED,
        "LABELS": labels,
        "TOPIC_CONFIG": _TOPIC_CONFIG,
    }


def _surroundings(labels: bool) -> Mapping[str, object]:
    return {"TOPIC_CONFIG": _TOPIC_CONFIG}


def _rows(labels: bool) -> tuple[str, ...]:
    bursts = f"normal={60 * _RATE},length={4 * _RATE},pause={2 * _RATE},share=0.05"
    shares = ",".join(f"{site}={share}" for site, share in _SHARES.items())
    data = ("nsl-kdd", "nsl-kdd-sample", "--topic", "{site}.records", "--sites", shares, "--bursts", bursts)
    paced = ("--rate", f"{_RATE}/s", "--speed", f"{_NSL_SPEED:g}x", "--times", "now-5d")
    return (*data, *paced, *(("--send-labels",) if labels else ()))


SOURCES: dict[str, Source] = {
    "plant": Source(
        title="Three simulated water treatment plants with SWaT's tags (numbers are ours)",
        command="plant",
        settings=_plants,
        arguments=lambda labels: (),
        profile="plant",
        detector="contrastive",
        labels=False,
        speed=_PLANT_SPEED,
        partitions=1,
        each=dict.fromkeys(SITES, "own plant"),
        phases={"normal": "normal operation", "attack": "under attack"},
        aftermath=1800,
        alerts={"false_alarms_per_day": 6, "gap_s": 60},
        learning={
            "warm_up_s": 4 * _PLANT_SPEED,
            "quarantine_s": _PLANT_SPEED,
            "bucket_s": 60,
            "rows_per_bucket": 20,
            "min_records": 4000,
            "min_holdout": 300,
        },
    ),
    "nsl-kdd": Source(
        title="NSL-KDD sample (Tavallaee et al. 2009) as a live stream",
        command="replay",
        settings=_surroundings,
        arguments=_rows,
        profile="nsl-kdd",
        detector="autoencoder",
        labels=True,
        speed=_NSL_SPEED,
        partitions=2,
        each={site: f"{share} %" for site, share in _SHARES.items()},
        phases={
            "normal": "normal records only: warm-up and agreement",
            "burst": "a burst with 5 % attacks",
            "pause": "between bursts: normal records",
        },
        aftermath=0,
        alerts={"false_alarms_per_day": 40, "gap_s": 120},
        learning={
            "warm_up_s": 4 * _NSL_SPEED,
            "quarantine_s": _NSL_SPEED,
            "bucket_s": 60,
            "rows_per_bucket": 32,
            # The scaler is agreed on once: from 200 records a site it is so rough that recall stays near 11 %
            # instead of 43 % (one run each).
            "min_records": 3000,
            "min_holdout": 300,
        },
    ),
}
"""Name -> stream. Both send normal records only until SIGUSR1."""
