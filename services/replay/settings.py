"""Settings of the replay, prefix ``STREAMGAUGE_REPLAY_``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_settings import SettingsConfigDict

from services.replay.data import SAMPLE
from services.replay.scenario import Scenario
from services.runtime.settings import ClusterSettings, ServiceSettings

_DAY_S = 86_400.0
_TOPIC_CONFIG = {
    # event time may lie far from now where `speed` is high
    "retention.ms": str(int(365 * _DAY_S * 1000)),
    "retention.bytes": str(1 << 30),
    "message.timestamp.after.max.ms": str((1 << 63) - 1),
}
SiteName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Share = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Records = Annotated[int, Field(ge=0)]


class ReplaySettings(ServiceSettings):
    """What is replayed, where to, how fast and in which phases. Numbers of records are sums over all sites."""

    model_config = SettingsConfigDict(env_prefix="STREAMGAUGE_REPLAY_")

    state_dir: Path = Field(default=Path(), description="Not used: the replay keeps no state.")
    records: ClusterSettings = Field(description="The Kafka cluster to send to.")
    data: str = Field(
        default=SAMPLE,
        description="A .csv or .csv.gz with a header, the bundled sample, or the folder of a public data set "
        "whose name is the profile.",
    )
    profile: str = Field(default="nsl-kdd", description="Source profile of the data: name or path.")
    send_labels: bool = Field(default=False, description="Send the profile's label field too (to learn from).")
    sites: dict[SiteName, Share] = Field(
        default={"site-a": 50, "site-b": 30, "site-c": 20}, min_length=1, description="Site -> share, as JSON."
    )
    topic: str = Field(
        default="{site}.records", pattern=r"^[A-Za-z0-9._{}-]+$", description="Name of a site's topic."
    )
    partitions: int = Field(default=2, ge=1, le=1000, description="Of each topic; an entity keeps to one.")
    replication_factor: int = Field(default=1, ge=1, le=10, description="Of topics that are created.")
    topic_config: dict[str, str] = Field(default=_TOPIC_CONFIG, description="Of topics that are created, as JSON.")
    rate: float = Field(
        default=1000.0, ge=0, allow_inf_nan=False, description="Records/s; 0: as fast as possible."
    )
    speed: float = Field(
        default=1.0, gt=0, le=1e6, description="Seconds of event time per second, where rate > 0."
    )
    step_s: float = Field(default=0.001, gt=0, le=86_400, description="Event time per record, where rate = 0.")
    backdate_s: float | None = Field(
        default=None, ge=0, description="Event time starts this long ago; default 0 at speed 1, else 5 days."
    )
    normal_records: Records = Field(default=20_000, description="Normal records before the first burst.")
    burst_records: int = Field(default=2_000, ge=1, description="Records of a burst, attacks among them.")
    pause_records: Records = Field(default=1_000, description="Normal records between bursts.")
    attack_share: float = Field(default=0.05, ge=0, le=0.5, description="Share of attacks within a burst.")
    run_records: int = Field(default=40, ge=1, description="Attacks of one type in a row, on one or two entities.")
    total_records: Records = Field(default=0, description="Stop after so many; 0: never.")
    batch_records: int = Field(
        default=2_000, ge=1, le=100_000, description="Most records sent before waiting for acks."
    )
    seed: int = Field(default=0, ge=0, description="Of the order of records.")

    @model_validator(mode="after")
    def _one_topic_each(self) -> Self:
        if len(self.sites) > 1 and "{site}" not in self.topic:
            raise ValueError(f"topic {self.topic!r} must contain {{site}}: every site has a topic of its own")
        return self

    def topic_of(self, site: str) -> str:
        """The topic of a site."""
        return self.topic.replace("{site}", site)

    @property
    def scenario(self) -> Scenario:
        """The phases, over all sites."""
        return Scenario(
            self.normal_records, self.burst_records, self.pause_records, self.attack_share, self.run_records
        )

    @property
    def event_step_s(self) -> float:
        """Seconds of event time from one record to the next, over all sites."""
        return self.speed / self.rate if self.rate else self.step_s

    @property
    def backdate(self) -> float:
        """Seconds before now at which event time starts."""
        if self.backdate_s is not None:
            return self.backdate_s
        return 0.0 if self.rate and self.speed == 1 else 5 * _DAY_S
