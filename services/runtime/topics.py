"""The topics of Streamgauge: names, settings, creation and verification."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from services.runtime.errors import TopicError
from services.runtime.settings import ClusterSettings

MIB = 1 << 20
LARGE_MESSAGE_BYTES = 16 * MIB
DEFAULT_MESSAGE_BYTES = MIB
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """What a topic must look like.

    Attributes:
        name: full name with its prefix.
        partitions: number of partitions when it is created; 1 is also demanded of an existing topic, where one
            partition means one order.
        config: Kafka's topic settings when it is created; `cleanup.policy`, and `retention.ms` where it is -1
            (kept for ever), are also demanded of an existing topic.
        min_max_message_bytes: the existing topic's `max.message.bytes` must be at least this.
    """

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)
    min_max_message_bytes: int = DEFAULT_MESSAGE_BYTES


@dataclass(frozen=True, slots=True)
class TopicState:
    """What a topic looks like on the broker."""

    partitions: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Topics:
    """Names of the project's topics under one prefix."""

    prefix: str = "streamgauge."

    @property
    def alerts(self) -> str:
        """Alerts (R)."""
        return f"{self.prefix}alerts"

    @property
    def dead_letters(self) -> str:
        """Records that could not be used (R)."""
        return f"{self.prefix}dead-letters"

    @property
    def contexts(self) -> str:
        """Contexts of source partitions (R)."""
        return f"{self.prefix}contexts"

    @property
    def feedback(self) -> str:
        """People's verdicts on alerts (R)."""
        return f"{self.prefix}feedback"

    @property
    def nodes(self) -> str:
        """Status of the nodes (F)."""
        return f"{self.prefix}nodes"

    @property
    def rounds(self) -> str:
        """Plans, candidates and ends of rounds (F)."""
        return f"{self.prefix}rounds"

    @property
    def updates(self) -> str:
        """Model updates (F)."""
        return f"{self.prefix}updates"

    @property
    def votes(self) -> str:
        """Votes on candidates (F)."""
        return f"{self.prefix}votes"

    @property
    def models(self) -> str:
        """Immutable model artefacts (F)."""
        return f"{self.prefix}models"

    @property
    def releases(self) -> str:
        """Releases, kept for ever (F)."""
        return f"{self.prefix}releases"

    def records_specs(self, partitions: int = 4) -> tuple[TopicSpec, ...]:
        """The topics on a site's own cluster."""
        return (
            TopicSpec(self.alerts, partitions, _deleted(30)),
            TopicSpec(self.dead_letters, partitions, _deleted(30)),
            TopicSpec(self.contexts, partitions, _compacted() | _large(), LARGE_MESSAGE_BYTES),
            TopicSpec(self.feedback, 1, _deleted(30)),
        )

    def federation_specs(self, update_partitions: int = 4) -> tuple[TopicSpec, ...]:
        """The topics on the shared cluster."""
        contributions = _deleted(7) | _large() | {"retention.bytes": str(4096 * MIB)}
        for_ever = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
        return (
            TopicSpec(self.nodes, 1, _compacted()),
            TopicSpec(self.rounds, 1, _deleted(30)),
            TopicSpec(self.updates, update_partitions, contributions, LARGE_MESSAGE_BYTES),
            TopicSpec(self.votes, update_partitions, contributions, LARGE_MESSAGE_BYTES),
            TopicSpec(self.models, 1, _compacted() | _large(), LARGE_MESSAGE_BYTES),
            TopicSpec(self.releases, 1, for_ever),
        )


def _deleted(days: int) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(days * _DAY_MS)}


def _compacted() -> dict[str, str]:
    return {"cleanup.policy": "compact", "max.compaction.lag.ms": str(_HOUR_MS)}


def _large() -> dict[str, str]:
    return {"max.message.bytes": str(LARGE_MESSAGE_BYTES)}


def differences(spec: TopicSpec, state: TopicState) -> list[str]:
    """What of an existing topic differs from what is needed, in plain words with the remedy; empty if nothing."""
    found = []
    if spec.partitions == 1 and state.partitions != 1:
        found.append(
            f"topic {spec.name} has {state.partitions} partitions, needs 1 (its order matters): "
            f"delete it or choose another topic_prefix"
        )
    demanded = {"cleanup.policy": spec.config.get("cleanup.policy")}
    if spec.config.get("retention.ms") == "-1":
        demanded["retention.ms"] = "-1"
    for name, needed in demanded.items():
        actual = state.config.get(name)
        if needed is not None and actual is not None and actual != needed:
            found.append(
                f"topic {spec.name} has {name}={actual}, needs {needed}: {_alter(spec.name, name, needed)}"
            )
    limit = int(state.config.get("max.message.bytes", spec.min_max_message_bytes))
    if limit < spec.min_max_message_bytes:
        remedy = _alter(spec.name, "max.message.bytes", str(spec.min_max_message_bytes))
        found.append(
            f"topic {spec.name} takes messages up to {limit} bytes, needs {spec.min_max_message_bytes}: {remedy}"
        )
    return found


def _alter(topic: str, name: str, value: str) -> str:
    return f"kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config {name}={value}"


def ensure_topics(
    cluster: ClusterSettings,
    specs: Iterable[TopicSpec],
    replication_factor: int = 1,
    stop: threading.Event | None = None,
) -> None:
    """Create the missing topics and verify the existing ones.

    Args:
        cluster: where.
        specs: what is needed.
        replication_factor: of new topics; from 3 on they get `min.insync.replicas=2`.
        stop: ends the waiting for a broker.

    Raises:
        BrokerError: no broker answered within `request_timeout_s`.
        StoppedError: `stop` was set before one did.
        TopicError: a topic differs from what is needed, or cannot be created; one line for each.
    """
    from services.runtime.kafka import open_admin  # here, so that names and specs need no Kafka client

    wanted = list(specs)
    with open_admin(cluster, client_id="streamgauge-topics", stop=stop) as admin:
        existing = admin.describe([spec.name for spec in wanted])
        missing = [spec for spec in wanted if spec.name not in existing]
        if missing:
            admin.create(missing, replication_factor)
    problems = [
        line for spec in wanted if spec.name in existing for line in differences(spec, existing[spec.name])
    ]
    if problems:
        raise TopicError("\n".join(problems))
