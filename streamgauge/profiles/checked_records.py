"""What was filled in, clipped or listed of records that a profile accepts; in words, with examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from streamgauge.profiles.columns import MISSING
from streamgauge.profiles.decoder import Decoded
from streamgauge.profiles.imputing import Imputed
from streamgauge.profiles.profile import Profile

SHOWN = 5
"""Names or values that a line lists."""
Parts = Sequence[tuple[Decoded, Imputed]]
"""Accepted records and what became of them, by the partition."""
Where = Callable[[Decoded, int], str]
"""Says to a person which record a row of accepted ones is."""


def about(profile: Profile, parts: Parts, where: Where) -> Iterator[str]:
    """Lines on missing cells by rule, values beyond their range, entities and times, labels."""
    yield from _filled(profile, parts, where)
    yield from _beyond(profile, parts, where)
    yield from _entities(parts)
    yield from _labels(profile, parts)


def moment(seconds: float) -> str:
    """A time as people read it."""
    return str(np.datetime64(round(seconds * 1000), "ms"))


def of_tick(decoded: Decoded, row: int) -> str:
    """Which tick a row is."""
    return f"{decoded.entities[row]} at {moment(float(decoded.times[row]))}"


def _filled(profile: Profile, parts: Parts, where: Where) -> Iterator[str]:
    names = [f.feature.name for f in profile.numeric] + [f.feature.name for f in profile.categorical]
    total, counts, examples = 0, Counter[tuple[str, str]](), dict[tuple[str, str], str]()
    for decoded, imputed in parts:
        total += len(decoded)
        counts.update({key: n for key, n in imputed.counts.items() if key[1] != "other"})
        absent = np.concatenate([np.isnan(decoded.values), decoded.codes == MISSING], axis=1)
        for feature, rule in imputed.counts.keys() - examples.keys():
            j = names.index(feature)
            cells = imputed.masked[:, j] if rule == "mask" else absent[:, j] & ~imputed.masked[:, j]
            if cells.any():
                examples[feature, rule] = f", e.g. {where(decoded, int(cells.argmax()))}"
    for (feature, rule), n in counts.most_common():
        what = "masked" if rule == "mask" else f"imputed by {rule}"
        yield f"{what}: {feature} in {n} of {total}{examples.get((feature, rule), '')}"


def _beyond(profile: Profile, parts: Parts, where: Where) -> Iterator[str]:
    for j, numeric in enumerate(profile.numeric):
        low, high = numeric.feature.minimum, numeric.feature.maximum
        outside: list[NDArray[np.bool_]] = [(d.values[:, j] < low) | (d.values[:, j] > high) for d, _ in parts]
        if n := sum(int(rows.sum()) for rows in outside):
            seen = np.concatenate([d.values[:, j] for d, _ in parts])
            k = next(k for k, rows in enumerate(outside) if rows.any())
            example = where(parts[k][0], int(outside[k].argmax()))
            yield (
                f"clipped: {numeric.field} in {n} of {len(seen)}, e.g. {example}; seen {np.nanmin(seen):g} to "
                f"{np.nanmax(seen):g}, allowed {low:g} to {high:g}"
            )


def _entities(parts: Parts) -> Iterator[str]:
    counts = Counter(name for decoded, _ in parts for name in decoded.entities)
    if counts:
        times = np.concatenate([decoded.times for decoded, _ in parts])
        yield f"entities: {len(counts)}: {', '.join(f'{name} ({n})' for name, n in counts.most_common(SHOWN))}"
        yield f"event time: {moment(times.min())} to {moment(times.max())} UTC"


def _labels(profile: Profile, parts: Parts) -> Iterator[str]:
    if profile.label is not None and parts:
        labels = np.concatenate([decoded.labels for decoded, _ in parts])
        normal, abnormal = int((labels == 0).sum()), int((labels == 1).sum())
        without = len(labels) - normal - abnormal
        yield f"labels: {normal} normal, {abnormal} abnormal, {without} without; read only with LEARN_LABELS=true"
