"""What a client term is: an addition to the loss of a node's local training; and the registry of all terms."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from streamgauge.config import is_number, read_config
from streamgauge.detectors.base import Detector, Weights
from streamgauge.errors import ConfigurationError
from streamgauge.registry import Registry

if TYPE_CHECKING:
    import torch

TermConfigs = Mapping[str, Mapping[str, Any]]
"""Term -> its settings, as in `TrainingPlan.terms` and in a round's plan."""


@dataclass(frozen=True)
class TermContext:
    """What a term may look at beside the batch. None of the tensors requires gradients.

    Attributes:
        detector: embeds rows.
        base: weights that the training starts from: the global model.
        previous: weights that the node's training before this one ended with; None if there was none.
        prototypes: (2, e) global centres of the embeddings of normal and of abnormal rows, NaN where nobody has
            the class; None if the federation has none.
    """

    detector: Detector
    base: Weights
    previous: Weights | None = None
    prototypes: torch.Tensor | None = None


@dataclass(frozen=True)
class Term(abc.ABC):
    """A term, and at once its settings: subclasses are frozen dataclasses that check their values.

    Modules must import without torch: the aggregator checks settings. A term keeps no state and draws nothing.
    """

    simulation_only: ClassVar[str | None] = None
    """Why a live federation cannot use it; None if it can."""
    embeds: ClassVar[bool] = False
    """Whether it needs a detector with an embedding."""

    @abc.abstractmethod
    def loss(self, context: TermContext, weights: Weights, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """What is added to the loss of one batch.

        Args:
            context: see there.
            weights: in training; require gradients.
            x: (n, width) float32, standardised. Not modified.
            y: (n,) float32: 0 normal, 1 abnormal, NaN presumed normal.
        Returns:
            scalar, finite.
        """


TERMS: Registry[type[Term]] = Registry("client term", "streamgauge.federation.terms")
"""All client terms by name."""


def make_terms(configs: TermConfigs, detector: Detector, live: bool = False) -> tuple[Term, ...]:
    """The terms of a plan, in the order of their names.

    Args:
        configs: term -> settings.
        detector: that they will be used with.
        live: refuse those that only a simulation can use.
    Raises:
        UnknownNameError: no such term.
        ConfigurationError: an unknown setting or a wrong value, a detector without an embedding where the term
            needs one, or a term that is for simulations only.
    """
    return tuple(_make(name, configs[name], detector, live) for name in sorted(configs))


def _make(name: str, config: Mapping[str, Any], detector: Detector, live: bool) -> Term:
    cls = TERMS[name]
    if live and cls.simulation_only is not None:
        raise ConfigurationError(
            f"client term {name!r} is for simulations only: {cls.simulation_only}; take another one or none"
        )
    term = read_config("client term", name, cls, config)
    if cls.embeds and not detector.has_embedding:
        raise ConfigurationError(
            f"client term {name!r} needs an embedding and detector {detector.name!r} has none; choose a detector "
            "with `embed`, or a term that compares weights, such as 'proximal'"
        )
    return term


def require_number(term: str, name: str, value: object, above: float, most: float) -> None:
    """Check a setting that is a number above one and at most another.

    Raises:
        ConfigurationError: it is not.
    """
    if not (is_number(value) and isinstance(value, int | float) and above < value <= most):
        raise ConfigurationError(
            f"client term {term!r}: {name}={value!r} must be a number above {above:g}, at most {most:g}"
        )
