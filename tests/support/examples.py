"""How many examples a property is tried with."""

from __future__ import annotations

from hypothesis import settings

ORDINARY = 20
"""Examples of a property in the ordinary run; every run draws others."""
THOROUGH = 500
"""Under ``--hypothesis-profile=thorough``, as `make test-chaos` runs it."""


def examples(ordinary: int) -> settings:
    """For a property that needs another number: so many ordinarily, in proportion under a larger profile."""
    return settings(max_examples=max(1, ordinary * settings().max_examples // ORDINARY))
