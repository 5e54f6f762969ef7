"""Settings of the simulated plants, prefix ``STREAMGAUGE_PLANT_``; the command's options win over them."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BeforeValidator, Field, StringConstraints, model_validator
from pydantic_settings import SettingsConfigDict

from services.runtime.settings import ClusterSettings, ServiceSettings

_DAY_S = 86_400
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": float(_DAY_S)}
SiteName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
_TOPIC_CONFIG = {
    # event time may lie far from now where `speed` is high
    "retention.ms": str(365 * _DAY_S * 1000),
    "retention.bytes": str(1 << 30),
    "message.timestamp.after.max.ms": str((1 << 63) - 1),
}


def seconds(value: object) -> object:
    """`90`, `90s`, `15min`, `2h` or `7d` as seconds.

    >>> seconds("2h")
    7200.0
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", value) if isinstance(value, str) else None
    if match is None:
        return value
    if match[2] not in _UNITS:
        raise ValueError(f"unit {match[2]!r}: use s, min, h or d")
    return float(match[1]) * _UNITS[match[2]]


def times(value: object) -> object:
    """`100x` as 100."""
    return value.strip().removesuffix("x") if isinstance(value, str) else value


Seconds = Annotated[float, BeforeValidator(seconds)]


class PlantSettings(ServiceSettings):
    """Which plants, how fast, where to and what happens to them."""

    model_config = SettingsConfigDict(env_prefix="STREAMGAUGE_PLANT_")

    state_dir: Path = Field(
        default=Path(),
        description="Folder to keep the plants' states in, to go on after a restart; not set: none is kept.",
    )
    records: ClusterSettings | None = Field(default=None, description="The Kafka cluster to send to.")
    out: Path | None = Field(default=None, description="Instead: a CSV file to write; one that is there is kept.")
    sites: tuple[SiteName, ...] = Field(
        default=("plant",), min_length=1, max_length=1000, description="A plant each, as JSON; also the entity."
    )
    topic: str = Field(
        default="{site}.records", pattern=r"^[A-Za-z0-9._{}-]+$", description="Name of a site's topic."
    )
    partitions: int = Field(default=1, ge=1, le=1000, description="Of each topic; a plant keeps to one.")
    replication_factor: int = Field(default=1, ge=1, le=10, description="Of topics that are created.")
    topic_config: dict[str, str] = Field(default=_TOPIC_CONFIG, description="Of topics that are created, as JSON.")
    layout: Literal["wide", "long"] = Field(default="wide", description="long: one tag a message.")
    labels: bool = Field(default=True, description="Send label, attack_class and attack_points in the records.")
    seed: int = Field(default=0, ge=0, description="Of plants and schedules: same seed, same stream.")
    start: AwareDatetime | None = Field(
        default=None, description="Event time of the first record; default now at speed 1, else 5 days ago."
    )
    speed: Annotated[float, BeforeValidator(times)] = Field(
        default=1.0, ge=0, le=1e6, description="Seconds of event time a second; 0: as fast as possible."
    )
    for_s: Seconds = Field(default=0.0, ge=0, description="Event time after which it ends; 0: never. Also 2h, 7d.")
    attacks: str = Field(default="none", description="none, schedule, or a TOML file with [[attack]] tables.")
    calm_s: Seconds = Field(default=21_600.0, ge=0, description="Event time before the first scheduled attack.")
    gap_s: tuple[int, int] = Field(
        default=(1200, 3600), description="Shortest and longest calm between scheduled attacks, in event time."
    )

    @model_validator(mode="after")
    def _one_way_out(self) -> Self:
        if (self.records is None) == (self.out is None):
            raise ValueError("say where the records go: either --topic with --bootstrap, or --out FILE.csv")
        if len(self.sites) > 1 and "{site}" not in self.topic:
            raise ValueError(f"topic {self.topic!r} must contain {{site}}: every site has a topic of its own")
        if len(set(self.sites)) != len(self.sites):
            raise ValueError(f"sites {', '.join(self.sites)}: each name once")
        if not 0 < self.gap_s[0] <= self.gap_s[1]:
            raise ValueError(f"gap_s {self.gap_s}: the shortest, above 0, then the longest")
        return self

    @property
    def keeps_state(self) -> bool:
        """Whether a folder for states was named."""
        return "state_dir" in self.model_fields_set

    def topic_of(self, site: str) -> str:
        """The topic of a site."""
        return self.topic.replace("{site}", site)

    def start_s(self, now: datetime) -> float:
        """Event time of the first record, in whole seconds since the epoch."""
        start = self.start.timestamp() if self.start else now.timestamp() - (0 if self.speed == 1 else 5 * _DAY_S)
        return float(int(start))
