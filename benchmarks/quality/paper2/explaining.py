"""How well the live attribution ranks a node's columns: against KernelSHAP of the same score.

KernelSHAP is captum's, about the mean record (0 after standardising). It estimates by sampling coalitions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.paper2.learner import Effort, Learner, Way
from benchmarks.quality.paper2.learning import learn
from benchmarks.quality.paper2.nodes import Matrix, Node
from benchmarks.quality.table import Outcome

RECORDS = 10
"""Attack records of each node that are explained."""
COALITIONS = 300
"""A record; a column of a node of 15 is in about half of them."""
TOP = 3


def explaining_run(nodes: Sequence[Node], effort: Effort, seed: int) -> Outcome:
    """Rank agreement over records, and the values behind a beeswarm."""
    from scipy.stats import spearmanr

    learned = learn(nodes, Way(), effort, seed)
    ranks, tops, swarms = [], [], {}
    for learner in learned.learners:
        x = explained(learner, seed)
        quick, shap = live(learner, x), _kernel_shap(learner, x, seed)
        ranks += [float(spearmanr(a, b).statistic) for a, b in zip(quick, shap, strict=True)]
        tops += [len(top(a) & top(b)) / TOP for a, b in zip(quick, shap, strict=True)]
        swarms[learner.node.name] = {
            "columns": list(learner.node.columns),
            "values": np.round(x, 3).tolist(),
            "shap": np.round(shap, 4).tolist(),
        }
    figures = {"spearman": float(np.nanmean(ranks)), "top": float(np.mean(tops)), "records": float(len(ranks))}
    return Outcome(figures, {"swarms": swarms} if seed == 0 else {})


def explained(learner: Learner, seed: int) -> Matrix:
    """Standardised attack records of a node's test (at most RECORDS, columns)."""
    attacks = np.flatnonzero(learner.node.truth)
    drawn = np.random.default_rng([seed, 6]).permutation(attacks)[:RECORDS]
    return learner.scaler.apply(learner.node.test[drawn])


def live(learner: Learner, x: Matrix) -> NDArray[np.float64]:
    """The detector's own attribution of standardised records: (n, columns)."""
    import torch

    weights, statistics = learner.tensors()
    return np.asarray(learner.detector.attribute(weights, statistics, torch.from_numpy(x)).detach(), np.float64)


def _kernel_shap(learner: Learner, x: Matrix, seed: int) -> NDArray[np.float64]:
    """(n, width); the global generator is put back afterwards: captum draws from it."""
    import torch
    from captum.attr import KernelShap

    weights, statistics = learner.tensors()
    explainer: Any = KernelShap(lambda rows: learner.detector.raw_score(weights, statistics, rows))
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        parts = [
            explainer.attribute(
                torch.from_numpy(row[None]), n_samples=COALITIONS, perturbations_per_eval=COALITIONS
            )
            for row in x
        ]
    return np.concatenate([np.asarray(part, np.float64) for part in parts])


def top(values: NDArray[np.float64]) -> set[int]:
    """The TOP highest columns."""
    return set(np.argsort(-values)[:TOP].tolist())
