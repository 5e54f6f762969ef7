"""Settings of the aggregator: environment variables ``STREAMGAUGE_AGGREGATOR_*``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from services.runtime.settings import ClusterSettings, ServiceSettings
from services.runtime.topics import LARGE_MESSAGE_BYTES
from streamgauge.detectors.base import DETECTORS
from streamgauge.federation.merging import MergePolicy
from streamgauge.federation.optimizers_base import OPTIMIZERS
from streamgauge.federation.round_state import RoundPolicy
from streamgauge.federation.rules.alignment import unknown_live
from streamgauge.federation.rules_base import DISCOUNTS_STALE, RULES
from streamgauge.federation.terms_base import make_terms

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$"


class AggregatorSettings(ServiceSettings):
    """All settings of the aggregator."""

    model_config = SettingsConfigDict(env_prefix="STREAMGAUGE_AGGREGATOR_")

    federation_cluster: ClusterSettings = Field(description="The shared cluster.")
    name: str = Field(default="aggregator", pattern=_NAME, description="Under which nodes pinned its key.")
    signing_key_file: Path = Field(description="Its private key, from `streamgauge keys create`.")
    nodes_keys_dir: Path = Field(description="Directory with the enrolled nodes' public keys.")
    database_url: str | None = Field(
        default=None, description="Default: sqlite file aggregator.sqlite in state_dir."
    )
    replication_factor: int = Field(default=1, ge=1, le=32_767, description="Of topics that it creates.")
    update_partitions: int = Field(default=4, ge=1, le=1000, description="Of `updates` and `votes` when created.")

    detector: str = Field(default="autoencoder", pattern=_NAME, description="Name of the nodes' detector.")
    detector_config: dict[str, Any] = Field(default_factory=dict, description="Its hyper-parameters, as JSON.")
    rule: str = Field(default="fedavg", pattern=_NAME, description="How updates of weights are merged.")
    rule_config: dict[str, Any] = Field(default_factory=dict, description="The rule's settings, as JSON.")
    optimizer: str | None = Field(
        default=None,
        pattern=_NAME,
        description="What makes the server's step of the merged update; default: nothing.",
    )
    optimizer_config: dict[str, Any] = Field(default_factory=dict, description="Its settings, as JSON.")
    terms: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="What nodes add to their loss, as JSON: client term -> its settings."
    )
    epochs: int = Field(default=5, ge=1, le=10_000, description="Of local training, a round.")
    batch_size: int = Field(default=128, ge=1, le=1_000_000, description="Of local training.")
    learning_rate: float = Field(default=1e-3, gt=0, le=10, description="Of local training.")
    seed: int = Field(default=0, ge=0, le=2**63 - 1, description="Of initial weights and local training.")

    min_nodes: int = Field(default=2, ge=1, le=10_000, description="Participants needed to open a round.")
    quorum: float = Field(default=0.5, gt=0, le=1, description="Share of them needed at the deadline.")
    node_timeout_s: float = Field(default=60.0, gt=0, description="Silent for longer is not alive.")
    round_interval_s: float = Field(default=3600.0, ge=0, description="From one training round to the next.")
    retry_interval_s: float = Field(default=60.0, gt=0, description="Between tries of an agreement, or of marks.")
    update_timeout_s: float = Field(
        default=600.0, gt=0, description="From a plan to the deadline; nodes may train for 70 % of it."
    )
    vote_timeout_s: float = Field(default=300.0, gt=0, description="From a candidate to the deadline.")
    max_rejections: int = Field(default=3, ge=1, description="Vetoed candidates in a row that halve the step.")

    max_records_per_update: int = Field(default=1_000_000_000, ge=1, description="More is not believed.")
    count_cap: float = Field(default=10.0, ge=1, description="A site counts at most so many times the median.")
    norm_bound: float = Field(default=50.0, gt=0, description="Longer updates are shortened, 10 x is refused.")
    value_limit: float = Field(
        default=1e9, gt=0, le=1e100, description="Largest |value - centre| believed of a record in statistics."
    )
    robust_statistics: bool = Field(
        default=False, description="Merge statistics robustly, each kind by its own rule."
    )
    late_rounds: int = Field(
        default=3,
        ge=0,
        le=100,
        description="With rule fedbuff: so many rounds later an update may still count, discounted.",
    )
    keep_models: int = Field(default=20, ge=1, le=10_000, description="Releases whose artefacts are kept.")
    max_message_bytes: int = Field(
        default=LARGE_MESSAGE_BYTES,
        ge=8192,
        le=LARGE_MESSAGE_BYTES,
        description="Largest update, vote or artefact.",
    )

    @model_validator(mode="after")
    def _known_names(self) -> Self:
        # The smallest round that can close: a rule that needs more would fail there, with nobody watching.
        fewest = max(1, math.ceil(self.quorum * self.min_nodes - 1e-9))
        RULES[self.rule](np.zeros((fewest, 1)), np.ones(fewest), self.rule_config)
        if self.rule == "alignment" and (unknown := unknown_live(self.rule_config)):
            raise ValueError(
                f"rule alignment weighs by {' and '.join(unknown)}, which live nodes do not send; leave it out "
                f"with rule_config={json.dumps({**self.rule_config, **dict.fromkeys(unknown, 0)})}"
            )
        if self.optimizer is not None:
            OPTIMIZERS[self.optimizer]({}, np.zeros(1), self.optimizer_config)
        elif self.optimizer_config:
            raise ValueError("optimizer_config is set and optimizer is not; name one, e.g. momentum")
        make_terms(self.terms, DETECTORS[self.detector](1, self.detector_config), live=True)
        return self

    @property
    def url(self) -> str:
        """The database's URL."""
        return self.database_url or f"sqlite:///{self.state_dir / 'aggregator.sqlite'}"

    @property
    def merge_policy(self) -> MergePolicy:
        """How contributions are weighed."""
        return MergePolicy(
            rule=self.rule,
            rule_config=self.rule_config,
            optimizer=self.optimizer,
            optimizer_config=self.optimizer_config,
            count_cap=self.count_cap,
            norm_bound=self.norm_bound,
            robust=self.robust_statistics,
            value_limit=self.value_limit,
        )

    def round_policy(self, update_partitions: int, vote_partitions: int) -> RoundPolicy:
        """When rounds open and close, for the topics' real numbers of partitions."""
        return RoundPolicy(
            min_nodes=self.min_nodes,
            quorum=self.quorum,
            round_interval_s=self.round_interval_s,
            retry_interval_s=self.retry_interval_s,
            update_timeout_s=self.update_timeout_s,
            vote_timeout_s=self.vote_timeout_s,
            max_rejections=self.max_rejections,
            late_rounds=self.late_rounds if self.rule in DISCOUNTS_STALE else 0,
            update_partitions=update_partitions,
            vote_partitions=vote_partitions,
        )
