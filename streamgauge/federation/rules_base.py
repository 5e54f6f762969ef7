"""What a server rule is, and the registry of all rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import ConfigurationError
from streamgauge.registry import Registry

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")
Vector = NDArray[np.float64]
Rule = Callable[[Vector, Vector, Mapping[str, Any]], Vector]
"""``rule(updates (n, d) float64 deltas, counts (n,) float64 capped records, config) -> (d,) float64`` delta.

A rule never writes into its arguments, does not depend on the order of the nodes and refuses unknown settings.
"""

RULES: Registry[Rule] = Registry("federation rule", "streamgauge.federation.rules")
"""All server rules by name."""


def check_updates(updates: Vector, counts: Vector) -> None:
    """Check what every rule needs.

    Raises:
        ValueError: no updates, another number of counts, counts that are negative, not finite or all zero, or
            updates that are not finite.
    """
    if updates.ndim != 2 or len(updates) == 0 or counts.shape != (len(updates),):
        raise ValueError(
            f"a rule needs (n, d) updates and (n,) counts, n >= 1; got {updates.shape}, {counts.shape}"
        )
    if not (np.isfinite(counts).all() and (counts >= 0).all() and counts.sum() > 0):
        raise ValueError("counts must be finite, not negative and not all zero")
    # A median of NaN is NaN and a sort puts NaN last, where a trimmed mean drops it without a word.
    if broken := int((~np.isfinite(updates).all(axis=1)).sum()):
        raise ValueError(
            f"{broken} of {len(updates)} updates have values that are not finite; refuse them beforehand"
        )


def check_config(rule: str, config: Mapping[str, Any], known: tuple[str, ...] = ()) -> None:
    """Refuse settings that the rule does not have.

    Raises:
        ConfigurationError: names the unknown settings and lists the known ones.
    """
    if unknown := sorted(set(config) - set(known)):
        raise ConfigurationError(
            f"rule {rule!r} has no setting {', '.join(unknown)}; known: {', '.join(known) or 'none'}"
        )


def read_config(rule: str, cls: type[Config], config: Mapping[str, Any]) -> Config:
    """The rule's settings as its dataclass, which checks the values.

    Raises:
        ConfigurationError: an unknown setting or a value that is not allowed.
    """
    check_config(rule, config, tuple(field.name for field in fields(cls)))
    return cls(**config)


def is_whole(value: object, low: int) -> bool:
    """Whether a setting is a whole number of at least `low`; JSON's true is not 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= low


def is_number(value: object) -> bool:
    """Whether a setting is a finite number; JSON's true is not 1."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
