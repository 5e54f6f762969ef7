"""Which features and which detector SKAB gets: `python -m benchmarks.quality.strict.skab_choice` tries them all.

Written down before the figures were looked at. A setting is judged by its F1 at the line that the anomaly-free
recording gives; the best one with at most `MOST_ALARMS` realised false alarms wins, and the best of all if none
has so few. Two choices:

- `other runs`: judged on the labelled runs of the other half, valve1 or the rest; a run is never judged by
  settings that its own half chose.
- `corruptions`: no label of a run is used. Stretches of the second half of the anomaly-free recording get seeded
  faults after their first 400 rows; the line is that of the first half.

The first attempt at a target is the winner; the second, thought of when the first had been measured, joins the
`TOGETHER` best as a committee: the mean of their surprise. The third, after the second, also tries scores averaged
over the last rows (`SMOOTHED`); both choices again. Writes docs/results/quality/strict_choice_skab.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.data import data_directory
from benchmarks.quality.figures import decisions
from benchmarks.quality.rolling import rolling
from benchmarks.quality.strict.series import FIRST, Features, Stretch, after, drift, skab
from streamgauge.errors import ConfigurationError

Floats = NDArray[np.float64]
TARGET = Path(__file__).parents[3] / "docs" / "results" / "quality" / "strict_choice_skab.json"
SKAB_RATE = 0.10
"""Nominal false-alarm rate."""
MOST_ALARMS = 0.15
STEADY = 3.0
"""A sensor that moves further than this on the anomaly-free recording may be left out; see `series.drift`."""
WINDOWS = (5, 10, 20, 40, 60)
HALVES = ("valve1", "the rest")
METHODS = ("zscore", "pca", "knn")
"""Baselines that are the same for every seed and need no training of minutes."""
SHOWN = 20
"""The best settings of each choice that the file lists."""
TOGETHER = 10
SMOOTHED = (10, 30, 60)
"""Rows over which scores are averaged in the third attempt, beside none."""
THIRD = ", smoothed"
"""End of the third attempt's choices."""
FAULT_SEEDS = range(5)
LENGTH = (200, 400)
"""Rows of a fault."""
SIZE = (1.0, 4.0)
"""Of a shift, in standard deviations of the first rows; also how much more a noisy sensor varies."""


@dataclass(frozen=True)
class Setting:
    """What is scored, and by what.

    Attributes:
        windows: see `Features`.
        settle: first rows that are left out of training.
        steady: without the sensors that move on the anomaly-free recording.
        method: name of a baseline.
        smooth: rows of the causal mean over the scores; 1: none.
    """

    windows: tuple[tuple[str, int], ...]
    settle: int
    steady: bool
    method: str
    smooth: int = 1

    @property
    def features(self) -> Features:
        """Windows and settling time."""
        return Features(self.windows, self.settle)

    def sensors(self, stretches: Sequence[Stretch], normal: Sequence[Stretch]) -> list[Stretch]:
        """The stretches with the sensors that are scored."""
        if not self.steady:
            return list(stretches)
        kept = drift(normal, self.settle) <= STEADY
        return [stretch.sensors(kept) for stretch in stretches]

    def scores(self, stretches: Sequence[Stretch], normal: Sequence[Stretch], seed: int = 0) -> list[Floats]:
        """Of the rows after the first ones of every stretch; `normal`: the anomaly-free ones."""
        found = after(self.sensors(stretches, normal), FIRST, self.features, self.method, seed)
        return smoothed(found, self.smooth)


def smoothed(scores: Sequence[Floats], rows: int) -> list[Floats]:
    """Each score as the mean of the last `rows` of its stretch; of fewer at the beginning."""
    return [rolling(of[:, None], "mean", rows)[:, 0] for of in scores]


def chosen(choice: str, count: int = 1) -> tuple[Setting, ...]:
    """The best settings by a choice, from the file that `main` writes.

    Raises:
        ConfigurationError: that file has no such choice.
    """
    choices = json.loads(TARGET.read_text())["choices"]
    if choice not in choices:
        raise ConfigurationError(f"no choice {choice!r} in {TARGET.name}; it has {', '.join(choices)}")
    return tuple(
        Setting(
            tuple((kind, rows) for kind, rows in t["windows"]), t["settle"], t["steady"], t["method"], t["smooth"]
        )
        for t in choices[choice][:count]
    )


def settings() -> list[Setting]:
    """All that are tried, not smoothed."""
    forms: list[tuple[tuple[str, int], ...]] = [(("raw", 1),)]
    for rows in WINDOWS:
        forms += [(("mean", rows),), (("mean", rows), ("std", rows)), (("raw", 1), ("mean", rows), ("std", rows))]
    return [Setting(*choice) for choice in product(forms, (0, 100), (False, True), METHODS)]


def halves(runs: Sequence[Stretch]) -> dict[str, list[int]]:
    """Indices of the runs of valve1 and of the others."""
    valve1 = ["valve1" in run.name for run in runs]
    return {half: [i for i, is_it in enumerate(valve1) if is_it == (half == "valve1")] for half in HALVES}


def faulty(stretch: Stretch, generator: np.random.Generator) -> Stretch:
    """A copy with one fault after the first rows: one to three sensors shift, drift, vary more or stand still."""
    n, sensors = stretch.x.shape
    length = int(generator.integers(*LENGTH))
    start = int(generator.integers(FIRST, n - length + 1))
    chosen = generator.permutation(sensors)[: int(generator.integers(1, 4))]
    part = stretch.x[start : start + length, chosen]
    spread = stretch.x[:FIRST, chosen].std(axis=0)
    size = generator.uniform(*SIZE, len(chosen))
    moved = generator.choice([-1.0, 1.0], len(chosen)) * size * spread
    kind = generator.integers(4)
    if kind == 0:
        part = part + moved
    elif kind == 1:
        part = part + np.linspace(0.0, 1.0, length)[:, None] * moved
    elif kind == 2:
        part = part + generator.normal(size=part.shape) * size * spread
    else:
        part = np.repeat(part[:1], length, axis=0)
    x, truth = stretch.x.copy(), np.zeros(n, np.bool_)
    x[start : start + length, chosen] = part
    truth[start : start + length] = True
    return Stretch(x, truth, stretch.times, stretch.name)


def judged(scores: Sequence[Floats], truths: Sequence[NDArray[np.bool_]], held: Floats) -> dict[str, float]:
    """F1 and false alarms at the line of the held-out scores."""
    decided = np.concatenate(scores) > np.quantile(held, 1.0 - SKAB_RATE)
    figures = decisions(decided, np.concatenate(truths))
    return {name: figures[name] for name in ("f1", "false_alarms")}


def best(trials: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The winner first: those with few false alarms by F1, then the others by F1."""
    return sorted(trials, key=lambda trial: (trial["false_alarms"] > MOST_ALARMS, -trial["f1"]))


def main() -> int:
    """Run all trials; a few minutes."""
    runs, normal = skab(data_directory(None))
    parts = halves(runs)
    earlier, later = normal[: len(normal) // 2], normal[len(normal) // 2 :]
    faults = [faulty(s, np.random.default_rng([seed, i])) for seed in FAULT_SEEDS for i, s in enumerate(later)]
    trials: dict[str, list[dict[str, Any]]] = {}
    for setting in settings():
        found = [setting.scores(of, normal) for of in (normal, runs, faults)]
        for rows in (1, *SMOOTHED):
            held, scores, broken = (smoothed(of, rows) for of in found)
            figures = {
                f"other runs: {name}": judged(
                    [scores[i] for i in half], [runs[i].truth[FIRST:] for i in half], np.concatenate(held)
                )
                for name, half in parts.items()
            }
            truths = [fault.truth[FIRST:] for fault in faults]
            figures["corruptions"] = judged(broken, truths, np.concatenate(held[: len(earlier)]))
            smooth = asdict(replace(setting, smooth=rows))
            for name, figure in figures.items():
                trial = {**smooth, **figure}
                for end in ("", THIRD) if rows == 1 else (THIRD,):
                    trials.setdefault(name + end, []).append(trial)
    choices = {name: best(of)[:SHOWN] for name, of in trials.items()}
    for name, ranked in choices.items():
        print(f"{name}: {ranked[0]}")
    result = {"settings": {name: len(of) for name, of in trials.items()}, "choices": choices}
    TARGET.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
