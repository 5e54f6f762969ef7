"""Missing cells by the profile's rules: constants, last values, masks; counted per feature and rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import ConfigurationError
from streamgauge.features import OTHER, FeatureSchema
from streamgauge.profiles.columns import MISSING
from streamgauge.profiles.decoder import Decoded
from streamgauge.profiles.fields import CategoricalField
from streamgauge.profiles.profile import Profile
from streamgauge.stream.imputation import LastValues


@dataclass(frozen=True)
class Imputed:
    """A decoded batch without holes.

    Attributes:
        values: (n, numeric) float64, finite; masked cells hold the middle of the feature's range.
        codes: (n, categorical) int64, >= 0; masked cells hold ``other``.
        masked: (n, features) bool, numeric features first: cells that say nothing.
        counts: (feature, rule) -> cells; rule is ``constant``, ``last`` or ``mask``, or ``other`` for a value that
            the profile does not list; only what occurred, in the rows of `kept`.
        kept: (n,) bool, rows that may be scored, all if None. In the long layout a tick may lack too much even
            after the rules: a tag of rule ``reject``, or more masked cells than `Profile.max_missing_share`.
    """

    values: NDArray[np.float64]
    codes: NDArray[np.int64]
    masked: NDArray[np.bool_]
    counts: dict[tuple[str, str], int]
    kept: NDArray[np.bool_] | None = None

    def only(self, rows: NDArray[np.bool_]) -> Imputed:
        """These rows; the counts stay."""
        return Imputed(self.values[rows], self.codes[rows], self.masked[rows], self.counts)

    def encode(self, schema: FeatureSchema) -> NDArray[np.float32]:
        """(n, width) float32 as `FeatureSchema.encode`, with NaN in every column of a masked cell."""
        x = schema.encode(self.values, self.codes)
        if self.masked.any():
            x[self.masked[:, schema.groups()]] = np.nan
        return x


class Imputer:
    """Applies a profile's missing rules to batches. The state it needs is in `LastValues`, one per partition."""

    def __init__(self, profile: Profile) -> None:
        numeric, categorical = profile.numeric, profile.categorical
        self.names = [f.feature.name for f in numeric] + [f.feature.name for f in categorical]
        self.max_age_s = np.array([f.missing.max_age_s if f.missing.kind == "last" else np.nan for f in numeric])
        """(numeric,) greatest age of a repeated value; NaN for columns of another rule."""
        self._constants = np.array(
            [float(f.missing.value) if f.missing.kind == "constant" else np.nan for f in numeric]
        )
        self._middles = np.array([(f.feature.minimum + f.feature.maximum) / 2 for f in numeric])
        self._codes = np.array([_fill_code(f) for f in categorical], np.int64)
        self._masks_codes = np.array([f.missing.kind != "constant" for f in categorical], bool)
        self._other = np.array([len(f.feature.categories) for f in categorical], np.int64)
        rules = [f.missing.kind for f in numeric] + [f.missing.kind for f in categorical]
        self._required = np.array([kind == "reject" for kind in rules], bool)
        self._max_masked = profile.max_missing_share if profile.long else None
        self.remembers = bool((~np.isnan(self.max_age_s)).any())
        """Whether any rule is ``last``; else the `LastValues` are not touched."""

    def impute(self, decoded: Decoded, last_values: LastValues | None) -> Imputed:
        """Fill a batch of one partition, in the order of its log.

        Args:
            decoded: as the decoder made it. Not modified.
            last_values: the partition's; remembers this batch. May be None if no rule is ``last``.
        """
        values, last = self._last(decoded, last_values)
        absent_codes = decoded.codes == MISSING
        width = values.shape[1]
        codes, filled = decoded.codes, [(last, "last", 0), (decoded.codes == self._other, "other", width)]
        masked = np.zeros((len(decoded), len(self.names)), bool)
        if values.size and np.isnan(values.min()):
            absent = np.isnan(values)
            constant = absent & ~np.isnan(self._constants)
            masked[:, :width] = absent & ~constant
            values = np.where(constant, self._constants, np.where(absent, self._middles, values))
            filled.append((constant, "constant", 0))
        if absent_codes.any():
            masked[:, width:] = absent_codes & self._masks_codes
            codes = np.where(absent_codes, self._codes, codes)
            filled.append((absent_codes & ~self._masks_codes, "constant", width))
        kept = self._kept(masked)
        counts: dict[tuple[str, str], int] = {}
        for cells, rule, first in (*filled, (masked, "mask", 0)):
            counts |= self._count(cells if cells is None or kept is None else cells[kept], rule, first)
        return Imputed(values, codes, masked, counts, kept)

    def _kept(self, masked: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        if self._max_masked is None or not masked.any():
            return None
        return np.asarray((masked.mean(axis=1) <= self._max_masked) & ~(masked & self._required).any(axis=1))

    def _last(
        self, decoded: Decoded, last_values: LastValues | None
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
        if not self.remembers:
            return decoded.values, None
        if last_values is None:
            raise ConfigurationError(
                "the profile has missing rules 'last'; impute needs the partition's LastValues"
            )
        filled = last_values.fill(decoded.values, decoded.times, decoded.entities, self.max_age_s)
        return filled.values, None if filled.values is decoded.values else filled.imputed

    def _count(self, cells: NDArray[np.bool_] | None, rule: str, first: int) -> dict[tuple[str, str], int]:
        if cells is None or not cells.any():
            return {}
        sums = cells.sum(axis=0).tolist()
        return {(self.names[first + j], rule): n for j, n in enumerate(sums) if n}


def _fill_code(field: CategoricalField) -> int:
    categories = (*field.feature.categories, OTHER)
    return categories.index(field.missing.value) if field.missing.kind == "constant" else len(categories) - 1
