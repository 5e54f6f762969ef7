"""Which site a record goes to. The same for every run with the same seed, wherever it is resumed."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from services.replay.options import Split
from streamgauge.errors import ConfigurationError
from streamgauge.profiles.loaders.table import Table
from streamgauge.profiles.profile import Profile

Assign = Callable[[Table, int], NDArray[np.int64]]
"""From rows and the number of their first to (n,) sites."""
_STAGE = re.compile(r"[A-Za-z]+(\d)\d*")


def assigner(split: Split, profile: Profile, sites: int, seed: int) -> Assign:
    """How ``entity`` and ``dirichlet`` choose a site.

    Raises:
        ConfigurationError: the column of ``dirichlet`` is none of the profile's.
    """
    if split.kind == "entity":
        return _in_turn(sites)
    return _dirichlet(split, profile, sites, seed)


def _in_turn(sites: int) -> Assign:
    """Entities go to the sites in turn, in the order in which they appear."""
    known: dict[str, int] = {}

    def assign(table: Table, first_row: int) -> NDArray[np.int64]:
        return np.array([known.setdefault(e, len(known) % sites) for e in table.entities.tolist()], np.int64)

    return assign


def _dirichlet(split: Split, profile: Profile, sites: int, seed: int) -> Assign:
    """Every value of the column has shares of its own over the sites, drawn from Dirichlet(alpha, ..., alpha)."""
    of = _column(split.column, profile)
    shares: dict[str, NDArray[np.float64]] = {}

    def edges(value: str) -> NDArray[np.float64]:
        if value not in shares:
            drawn = np.random.default_rng([seed, zlib.crc32(value.encode())])
            shares[value] = np.cumsum(drawn.dirichlet(np.full(sites, split.alpha)))[:-1]
        return shares[value]

    def assign(table: Table, first_row: int) -> NDArray[np.int64]:
        lots = lots_of(seed, "split", first_row, len(table))
        pairs = zip(of(table), lots.tolist(), strict=True)
        return np.array([np.searchsorted(edges(value), lot) for value, lot in pairs], np.int64)

    return assign


def _column(name: str, profile: Profile) -> Callable[[Table], list[str]]:
    label = profile.label
    if label and name in (label.field, label.attack_type):
        return lambda table: list(table.attack_types)
    if name in ("entity", profile.entity):
        return lambda table: list(table.entities)
    names = [*(f.field for f in profile.categorical), *profile.context, *(f.field for f in profile.numeric)]
    if name not in names:
        raise ConfigurationError(
            f"--split dirichlet: {name!r} is no column of profile {profile.name!r}; use the label, entity or one "
            f"of {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"
        )
    return lambda table: [str(value) for value in table.columns[name].tolist()]


def stages_of(profile: Profile, sites: int) -> list[frozenset[str]]:
    """The fields of each site: a tag's stage is the first digit of its number; fields without one go to all.

    Raises:
        ConfigurationError: there are more or fewer stages than sites.
    """
    features = [*(f.field for f in profile.numeric), *(f.field for f in profile.categorical)]
    found = {field: _STAGE.fullmatch(field) for field in features}
    stages = sorted({match[1] for match in found.values() if match})
    if len(stages) != sites:
        raise ConfigurationError(
            f"--split stage: profile {profile.name!r} has the stages {', '.join(stages) or 'none'} (first digit "
            f"of a tag's number), so --sites must be {len(stages) or 'left out'}, not {sites}"
        )
    return [
        frozenset(field for field, match in found.items() if match is None or match[1] == stage)
        for stage in stages
    ]


def lots_of(seed: int, purpose: str, first_row: int, n: int) -> NDArray[np.float64]:
    """(n,) uniform in [0, 1): each row's lot depends on seed, purpose and its number only."""
    bits = np.random.PCG64([seed, zlib.crc32(purpose.encode())])
    return np.random.Generator(bits.advance(first_row)).random(n)


def counts_of(sites: NDArray[np.int64], weights: NDArray[np.int64], n: int) -> Sequence[int]:
    """Sum of the weights of each of n sites."""
    counts: list[int] = np.bincount(sites, weights, minlength=n).astype(np.int64).tolist()
    return counts
