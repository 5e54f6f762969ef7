"""The compared rules: what each adds to which loss, and the settings tried; as many for every rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

from benchmarks.quality.paper1 import encoder
from streamgauge.federation.merging import MergePolicy
from streamgauge.simulation import SimulationConfig

ROUNDS = 8
TRIAL_ROUNDS = 2
"""Of a training of the tuning."""
EPOCHS = 2
BATCH = 128
LEARNING_RATES = (3e-3, 1e-2)
CONTRASTIVE = "contrastive"


@dataclass(frozen=True, eq=False)
class Choice:
    """Values of a rule's own setting: of the detector, and of client terms."""

    detector: Mapping[str, Any] = field(default_factory=dict)
    terms: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Trial:
    """One training of the tuning."""

    learning_rate: float
    choice: Choice

    @property
    def text(self) -> str:
        """In words for the table's JSON."""
        own = {
            **self.choice.detector,
            **{f"{k}.{n}": v for k, t in self.choice.terms.items() for n, v in t.items()},
        }
        return f"learning rate {self.learning_rate:g}, " + ", ".join(f"{k} {v:g}" for k, v in own.items())


@dataclass(frozen=True, eq=False)
class Rule:
    """A row of the table.

    Attributes:
        label: as printed.
        detector: which loss the encoder learns with.
        mode: of the simulation.
        choices: two values of the rule's own setting.
        paper: SWaT's F1, precision and AUC in the paper's Table 1.
    """

    label: str
    detector: str
    choices: tuple[Choice, Choice]
    mode: Literal["federated", "local", "centralised"] = "federated"
    paper: tuple[float, float, float] | None = None

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Both learning rates with both choices."""
        return tuple(Trial(rate, choice) for rate, choice in product(LEARNING_RATES, self.choices))

    def config(self, trial: Trial, rounds: int = ROUNDS) -> SimulationConfig:
        """As a simulation's settings."""
        return SimulationConfig(
            detector=self.detector,
            detector_config=dict(trial.choice.detector),
            mode=self.mode,
            rounds=rounds,
            epochs=EPOCHS,
            batch_size=BATCH,
            learning_rate=trial.learning_rate,
            terms={name: dict(settings) for name, settings in trial.choice.terms.items()},
            merge=MergePolicy(norm_bound=1e4),  # all nodes are honest
            false_alarm_rate=0.01,
        )


def _terms(name: str, setting: str, values: tuple[float, float]) -> tuple[Choice, Choice]:
    low, high = values
    return Choice(terms={name: {setting: low}}), Choice(terms={name: {setting: high}})


def _detector(setting: str, values: tuple[float, float]) -> tuple[Choice, Choice]:
    low, high = values
    return Choice({setting: low}), Choice({setting: high})


# lambda2 |w - w_global|^2 is the proximal term with mu = 2 lambda2.
_LAMBDA = _terms("proximal", "mu", (0.002, 0.02))
_MOON = _terms("moon", "mu", (0.1, 1.0))
_PROTO = _terms("fedproto", "weight", (0.1, 1.0))
_CAC = _terms("fedcac", "share", (0.3, 0.5))
_COPIES = _detector("corrupted_share", (0.2, 0.5))
_TAU = _detector("temperature", (0.2, 0.5))

MAIN: Mapping[str, Rule] = {
    "contrastive": Rule("Contrastive, lambda2 > 0", CONTRASTIVE, _LAMBDA, paper=(0.915, 0.902, 0.947)),
    "contrastive-0": Rule("Contrastive, lambda2 = 0", CONTRASTIVE, _TAU),
    "moon": Rule("MOON, cross-entropy", encoder.NAME, _MOON, paper=(0.881, 0.867, 0.925)),
    "fedproto": Rule("FedProto, cross-entropy", encoder.NAME, _PROTO, paper=(0.873, 0.852, 0.908)),
    "fedcac": Rule("FedCAC, cross-entropy", encoder.NAME, _CAC, paper=(0.864, 0.849, 0.912)),
    "fedavg": Rule("FedAvg, cross-entropy", encoder.NAME, _COPIES),
    "local": Rule("Local only, cross-entropy", encoder.NAME, _COPIES, mode="local"),
}
VARIANTS: Mapping[str, Rule] = {
    "moon-nt-xent": Rule("MOON on NT-Xent", CONTRASTIVE, _MOON),
    "fedproto-nt-xent": Rule("FedProto on NT-Xent", CONTRASTIVE, _PROTO),
    "fedcac-nt-xent": Rule("FedCAC on NT-Xent", CONTRASTIVE, _CAC),
    "local-nt-xent": Rule("Local only, NT-Xent", CONTRASTIVE, _TAU, mode="local"),
    "central-nt-xent": Rule("All rows in one place, NT-Xent", CONTRASTIVE, _TAU, mode="centralised"),
}
RULES: Mapping[str, Rule] = {**MAIN, **VARIANTS}
