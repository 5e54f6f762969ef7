"""The strict sections of SKAB: run by run, and as one stream split by time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.columns import F1, FALSE_ALARMS
from benchmarks.quality.strict.committee import surprise
from benchmarks.quality.strict.series import FIRST, NORMAL_RUN, Features, after, drift, scored, skab
from benchmarks.quality.strict.series_rows import (
    BATADAL_RATE,
    COLUMNS,
    LIVE_METHODS,
    LIVE_REMARK,
    METHODS,
    SKAB_STEP,
    outcome,
    rows_of,
)
from benchmarks.quality.strict.skab_choice import (
    FAULT_SEEDS,
    HALVES,
    MOST_ALARMS,
    SKAB_RATE,
    SMOOTHED,
    STEADY,
    THIRD,
    TOGETHER,
    Setting,
    chosen,
    halves,
    settings,
)
from benchmarks.quality.table import Column, Context, Outcome, Protocol, Row, Section, Target

Floats = NDArray[np.float64]
PLAIN = Features((("raw", 1),))
RAW_METHODS = (*(method for method in METHODS if method[0] in ("zscore", "pca")), *LIVE_METHODS)
WINDOWS = Features((("mean", 20), ("std", 20)), settle=100)
LEADERBOARD: Mapping[str, tuple[str, float, float]] = {
    "conv-ae": ("Conv-AE", 0.78, 0.1355),
    "mset": ("MSET", 0.78, 0.3973),
    "t2-q": ("T-squared + Q (PCA)", 0.76, 0.2662),
    "isolation-forest": ("isolation forest", 0.29, 0.0256),
}
"""Published in the data set's own README; not run here."""
CHOICES: Mapping[str, Mapping[str, str]] = {
    "on other runs": {"valve1": "other runs: the rest", "the rest": "other runs: valve1"},
    "by corruptions": dict.fromkeys(HALVES, "corruptions"),
    f"on other runs{THIRD}": {"valve1": f"other runs: the rest{THIRD}", "the rest": f"other runs: valve1{THIRD}"},
    f"by corruptions{THIRD}": dict.fromkeys(HALVES, f"corruptions{THIRD}"),
}
"""Half of the runs -> what chose its settings; see `skab_choice`."""
BOUNDS: tuple[tuple[str, float, Literal["least", "most"], Column], ...] = (
    ("f1", 0.80, "least", F1),
    ("false_alarms", 0.15, "most", FALSE_ALARMS),
)


def skab_section() -> Section:
    """SKAB, each run by its first 400 rows."""
    tried = len(settings())
    protocol = Protocol(
        "strict",
        f"the first {FIRST} rows of each of 34 runs train that run's own model, the rest tests (the leaderboard's "
        "split); one run has 296 abnormal rows among its first 400, nothing was done about it",
        "that the anomaly-free recording is normal; those of other runs to choose settings where the row says so; "
        "none to train or for the line",
        f"a nominal false-alarm rate of {SKAB_RATE:.0%}, fixed beforehand: stretches of {NORMAL_RUN} rows of the "
        "anomaly-free recording are treated like runs, and the line is the quantile of their rows after the first "
        f"{FIRST}. So the line knows how far a run drifts; a line from the first {FIRST} rows alone gave 50-90 % "
        "false alarms",
        f"{tried} settings (windows of none to 60 rows and their mean or deviation, sensors and first rows left "
        "out or not, largest z-score, PCA residual or nearest neighbour) for each choice; raw sensors: none",
        (
            "**Chosen on other runs**: the 16 runs of valve1 are tested with what the other 18 chose by their "
            f"labels, and those with what valve1 chose: the best F1 with at most {MOST_ALARMS:.0%} false alarms",
            "**Chosen by corruptions**: no label of a run is seen. Stretches of the anomaly-free recording's "
            f"second half get seeded faults ({len(FAULT_SEEDS)} each: one to three sensors shift, drift, vary "
            "more or stand still); the same measure decides",
            "First attempt: the best setting. Second, thought of when the first had been measured: the "
            f"{TOGETHER} best together, by their mean surprise (-log of the share of the anomaly-free recording's "
            "scores that are as high). Third, after the second: both again, with each setting tried with scores "
            f"averaged over the last {', '.join(map(str, SMOOTHED))} rows too "
            f"({(1 + len(SMOOTHED)) * tried} settings). A choice that an earlier attempt made "
            "too has no row. The best trials are in strict_choice_skab.json. What is tried stems from earlier "
            "trials that saw test figures",
            "Why an honest choice misses a target: the halves want different settings (valve1 without the first "
            "rows of a run, the others with them), so that what one half chose is not the other's best. "
            "Corruptions reward long windows, which raise more false alarms on the runs than on the anomaly-free "
            "recording",
            "**Chosen with the test in view** (rows marked so; their numbers are optimistic): windows, sensors "
            "and first rows left out were compared in about 400 trials by the test's figures. Sensors that move "
            f"by more than {STEADY:g} standard deviations on the anomaly-free recording are left out: the "
            "temperature of the fluid, which warms up all the time (5.1; the others at most 1.3). So are the "
            "first 100 rows of a run, while the plant starts up",
            LIVE_REMARK,
            "Scores of a run are in units of its training scores (0 the lowest, 1 the 95 % quantile)",
            "Leaderboard (data set's README, same split, F1 / false alarms): "
            + "; ".join(f"{n} {100 * f1:.0f} / {100 * fa:.2f}" for n, f1, fa in LEADERBOARD.values()),
        ),
    )
    found = [_chosen(choice, count) for choice in CHOICES for count in (1, TOGETHER)]
    best = [row for i, row in enumerate(found) if row.config not in [other.config for other in found[:i]]]
    rows = [
        *best,
        *rows_of("skab", "mean and deviation over 20 s (test in view)", _skab, WINDOWS),
        *rows_of("skab-raw", "raw sensors", _skab, PLAIN, RAW_METHODS),
    ]
    targets = [
        Target(row.key, figure, bound, at, f"{row.label}, {column.title}")
        for row in best
        for figure, bound, at, column in BOUNDS
    ]
    return Section("SKAB, first 400 rows of each run", protocol, COLUMNS, tuple(rows), tuple(targets))


def _chosen(choice: str, count: int) -> Row:
    """`choice`: a key of `CHOICES`; `count`: settings that are joined."""
    by = {half: chosen(name, count) for half, name in CHOICES[choice].items()}
    label = f"chosen {choice}" + (f", the {count} best together" if count > 1 else "")
    config = {half: [asdict(setting) for setting in found] for half, found in by.items()}
    key = f"skab-by-{choice.replace(', ', '-').split()[-1]}" + (f"-{count}" if count > 1 else "")
    return Row(key, label, lambda context: _skab_by(context, by), config)


def skab_time_section() -> Section:
    """SKAB as one stream."""
    protocol = Protocol(
        "strict",
        "all 34 runs in order of time as one stream: the first 60 % of the rows train, the rest tests",
        "none; the training rows contain anomalies",
        "95 % quantile of the training rows' scores (nominal false-alarm rate 5 %, fixed beforehand)",
        "none",
        ("Between the runs the plant was set up anew: later runs are elsewhere, whatever the model",),
    )
    rows = rows_of("skab-time", "raw sensors", _skab_time, PLAIN)
    return Section("SKAB, plain split by time", protocol, COLUMNS, rows)


def _skab(context: Context, features: Features, name: str) -> Outcome:
    runs, normal = skab(context.data)
    if features is not PLAIN:
        steady = drift(normal, features.settle) <= STEADY
        runs, normal = (tuple(stretch.sensors(steady) for stretch in part) for part in (runs, normal))
    tests = [run.part(FIRST) for run in runs]
    held = np.concatenate(after(normal, FIRST, features, name, context.seed))
    scores = np.concatenate(after(runs, FIRST, features, name, context.seed))
    return outcome(held, scores, tests, SKAB_RATE, SKAB_STEP)


def _skab_by(context: Context, by: Mapping[str, Sequence[Setting]]) -> Outcome:
    """Each half of the runs by its own settings: their mean surprise, in units of that half's line."""
    runs, normal = skab(context.data)
    scores: dict[int, Floats] = {}
    held = []
    for half, rows in halves(runs).items():
        own = [runs[i] for i in rows]
        of_normal, of_runs = [], []
        for setting in by[half]:
            known = np.concatenate(setting.scores(normal, normal, context.seed))
            of_normal.append(surprise(known, known))
            of_runs.append([surprise(known, part) for part in setting.scores(own, normal, context.seed)])
        mean = np.mean(of_normal, axis=0)
        line = np.quantile(mean, 1.0 - SKAB_RATE)
        held.append(mean / line)
        scores |= {i: np.mean(parts, axis=0) / line for i, *parts in zip(rows, *of_runs, strict=True)}
    ordered = np.concatenate([scores[i] for i in range(len(runs))])
    return outcome(np.concatenate(held), ordered, [run.part(FIRST) for run in runs], SKAB_RATE, SKAB_STEP)


def _skab_time(context: Context, features: Features, name: str) -> Outcome:
    ordered = sorted(skab(context.data)[0], key=lambda run: run.times[0])
    x = np.concatenate([run.x for run in ordered])
    train = round(0.6 * len(x))
    scores = scored(x, train, features, name, context.seed)
    left, tests = train, []
    for run in ordered:
        if left < len(run.x):
            tests.append(run.part(max(left, 0)))
        left -= len(run.x)
    return outcome(scores[:train], scores[train:], tests, BATADAL_RATE, SKAB_STEP)
