"""Settings of the replay's surroundings, prefix ``STREAMGAUGE_REPLAY_``; the command line says what is sent."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.runtime.rdkafka import Client, Compression
from services.runtime.settings import ClusterSettings, ServiceSettings

_TOPIC_CONFIG = {
    # event time may lie far from now where the speed is high or the data are old
    "retention.ms": str(100 * 365 * 86_400_000),
    "retention.bytes": str(1 << 30),
    "message.timestamp.after.max.ms": str((1 << 63) - 1),
}


class ReplaySettings(ServiceSettings):
    """Where the replay sends to, and how."""

    model_config = SettingsConfigDict(env_prefix="STREAMGAUGE_REPLAY_")

    state_dir: Path = Field(default=Path(), description="Not used: see `--resume`.")
    records: ClusterSettings = Field(description="The Kafka cluster to send to.")
    client: Client = Field(
        default="auto", description="Client that sends; auto: librdkafka where its extra is installed."
    )
    compression: Compression = Field(
        default="lz4", description="none is faster where the network is: columnar numbers shrink little."
    )
    partitions: int = Field(default=2, ge=1, le=1000, description="Of each topic; an entity keeps to one.")
    replication_factor: int = Field(default=1, ge=1, le=10, description="Of topics that are created.")
    topic_config: dict[str, str] = Field(default=_TOPIC_CONFIG, description="Of topics that are created, as JSON.")
    batch_records: int = Field(
        default=2_000, ge=1, le=100_000, description="Most records handed to the client at once."
    )
