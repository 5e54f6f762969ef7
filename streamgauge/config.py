"""Settings of what stands in a registry: frozen dataclasses, made from plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from streamgauge.errors import ConfigurationError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")


def read_config(what: str, name: str, cls: type[Config], config: Mapping[str, Any]) -> Config:
    """The settings as their dataclass, which checks the values.

    Args:
        what: is configured, for error messages, e.g. ``detector``.
        name: in its registry.
        cls: the dataclass.
        config: values by name.
    Raises:
        ConfigurationError: an unknown setting or a value that is not allowed.
    """
    check_config(what, name, config, tuple(field.name for field in fields(cls)))
    return cls(**config)


def check_config(what: str, name: str, config: Mapping[str, Any], known: tuple[str, ...] = ()) -> None:
    """Refuse settings that it does not have.

    Raises:
        ConfigurationError: names the unknown settings and lists the known ones.
    """
    if unknown := sorted(set(config) - set(known)):
        raise ConfigurationError(
            f"{what} {name!r} has no setting {', '.join(unknown)}; known: {', '.join(known) or 'none'}"
        )


def is_whole(value: object, low: int) -> bool:
    """Whether a setting is a whole number of at least `low`; JSON's true is not 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= low


def is_number(value: object) -> bool:
    """Whether a setting is a finite number; JSON's true is not 1."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
