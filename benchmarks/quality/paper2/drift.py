"""How the ranking of a node's columns moves from release to release."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.paper2.explaining import TOP, explained, live, top
from benchmarks.quality.paper2.learner import Effort, Learner, Way
from benchmarks.quality.paper2.learning import learn
from benchmarks.quality.paper2.nodes import Node
from benchmarks.quality.table import Outcome

Floats = NDArray[np.float64]


def drift_run(nodes: Sequence[Node], effort: Effort, seed: int) -> Outcome:
    """Rank the columns by their mean live attribution after every round, on the same attack records each time.

    Agreement is Spearman's rank correlation of two rankings, the mean over the nodes.
    """
    releases: list[list[Floats]] = []

    def watch(number: int, learners: Sequence[Learner]) -> None:
        releases.append([live(learner, explained(learner, seed)).mean(axis=0) for learner in learners])

    learn(nodes, Way(), effort, seed, watch)
    steps = [agreement(a, b) for a, b in pairwise(releases)]
    to_last = [agreement(one, releases[-1]) for one in releases[:-1]]
    kept = [len(top(a) & top(b)) / TOP for a, b in zip(releases[-2], releases[-1], strict=True)]
    figures = {"first": steps[0], "last": steps[-1], "whole": to_last[0], "top": float(np.mean(kept))}
    return Outcome(figures, {"steps": steps, "to_last": to_last})


def agreement(before: Sequence[Floats], after: Sequence[Floats]) -> float:
    """Mean over the nodes of Spearman's correlation of two releases' attributions of the columns."""
    from scipy.stats import spearmanr

    return float(np.nanmean([spearmanr(a, b).statistic for a, b in zip(before, after, strict=True)]))


def draw(details: Sequence[dict[str, Any]], target: Path) -> None:
    """Agreement over the releases: mean over the seeds, and their spread."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    figure, axis = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
    lines = (
        ("steps", "with the release before", "#0b6e99", 2),
        ("to_last", "with the last release", "#d97706", 1),
    )
    for name, label, colour, start in lines:
        values = np.array([one[name] for one in details])
        releases = np.arange(start, start + values.shape[1])
        mean, spread = values.mean(axis=0), values.std(axis=0, ddof=1) if len(values) > 1 else 0.0
        axis.plot(releases, mean, "o-", color=colour, label=label, markersize=4)
        axis.fill_between(releases, mean - spread, mean + spread, color=colour, alpha=0.2)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("release")
    axis.set_ylabel("rank correlation of the columns")
    axis.set_title("Drift of the live attribution's ranking, five nodes", fontsize=10)
    axis.legend(frameon=False, fontsize=9)
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, dpi=130)
    plt.close(figure)
