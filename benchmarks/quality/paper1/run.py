"""One run: tune on validation rows, learn, and measure on rows that nobody has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.figures import decisions, events, ranking
from benchmarks.quality.paper1.nodes import FIXED, Kind, Pools, Sizes, pools
from benchmarks.quality.paper1.rules import RULES, TRIAL_ROUNDS, Trial
from benchmarks.quality.table import Outcome
from streamgauge.evaluation.baselines import BASELINES
from streamgauge.evaluation.corruptions import corrupt
from streamgauge.evaluation.metrics import auc
from streamgauge.judging import score_rows
from streamgauge.simulation import Client, Model, Space, simulate
from streamgauge.simulation.clients import pooled

Floats = NDArray[np.float64]
RATE = 0.01
"""Nominal share of false alarms: the line is this quantile of a node's normal validation rows."""
SMALLEST = 1e-9
TUNING_SEED = 1000
FORMS = ("distance and class", "class")
"""How a record is scored; the better one on validation rows counts, for every rule alike."""


@dataclass(frozen=True)
class Tuned:
    """What the trials of a rule chose.

    Attributes:
        trial: of the rule.
        form: of `FORMS`.
        tried: trial and form in words -> `validation_auc`.
    """

    trial: Trial
    form: str
    tried: dict[str, float]


def rule_run(name: str, kind: Kind, key: str, sizes: Sizes, data: Path, seed: int) -> Outcome:
    """Train by a rule with its tuned settings, and measure."""
    rule, found = RULES[key], tuned(name, kind, key, sizes, data)
    known = pools(name, kind, data)
    clients = known.clients(sizes, seed)
    result = simulate(rule.config(found.trial), clients, seed, space=known.space)
    ratios, seen = [], dict[tuple[int, int], Floats]()
    for number, client in enumerate(clients):
        model, rows = result.models[client.name], _test_of(known, number)
        same = id(model.state), id(rows)  # one model for all nodes scores one test once
        if same not in seen:
            seen[same] = scored(model, found.form, known.x[rows])
        ratios.append(seen[same] / line(scored(model, found.form, client.validation.x), client.validation.y))
    figures = measured(known, ratios) | {"mb_sent": result.bytes_sent / 1e6}
    chosen = {"settings": found.trial.text, "score": found.form, "tried": found.tried}
    return Outcome(figures, {"tuned": chosen, "nodes": _counts(clients, known)})


def baseline_run(name: str, kind: Kind, baseline: str, sizes: Sizes, data: Path, seed: int) -> Outcome:
    """A baseline on all nodes' training rows in one place; without labels if it takes none."""
    known = pools(name, kind, data)
    clients = known.clients(sizes, seed)
    train, validation = (pooled([getattr(c, part) for c in clients]) for part in ("train", "validation"))
    model = BASELINES[baseline](seed)
    x = np.nan_to_num(train.x)
    if model.supervised:
        model.fit(x, train.y)
    else:
        model.fit(x[train.y == 0])
    level = np.quantile(model.score(np.nan_to_num(validation.x[validation.y == 0])), 1 - RATE)
    ratios = [model.score(np.nan_to_num(known.x[rows])) - level + 1.0 for rows in known.tests]
    return Outcome(measured(known, ratios), {"nodes": _counts(clients, known)})


@cache
def tuned(name: str, kind: Kind, key: str, sizes: Sizes, data: Path) -> Tuned:
    """The best of a rule's trials by `validation_auc`; trained once a process."""
    rule, known = RULES[key], pools(name, kind, data)
    clients = known.clients(sizes, TUNING_SEED)
    tried: dict[tuple[Trial, str], float] = {}
    for trial in rule.trials:
        models = simulate(rule.config(trial, TRIAL_ROUNDS), clients, TUNING_SEED, space=known.space).models
        tried |= {(trial, form): validation_auc(models, clients, form, known.space) for form in FORMS}
    trial, form = max(tried, key=lambda one: tried[one])
    return Tuned(trial, form, {f"{trial.text}; {form}": value for (trial, form), value in tried.items()})


def validation_auc(models: Mapping[str, Model], clients: Sequence[Client], form: str, space: Space) -> float:
    """Mean of two AUCs over all nodes' validation rows, each node's scores in units of its line.

    Normal rows against the labelled attacks, and against corrupted copies of the normal rows, as nodes vote by:
    the former alone says little where few attacks are known and every trial finds all of them. Without labelled
    attacks the copies alone count.
    """
    normal, known, copies = [], [], []
    for client in clients:
        model, y = models[client.name], client.validation.y
        z = model.scaler.apply(client.validation.x)
        level = line(_scores(model, form, z), y)
        normal.append(_scores(model, form, z[y == 0]) / level)
        known.append(_scores(model, form, z[y == 1]) / level)
        altered = corrupt(z[y == 0], np.random.default_rng(FIXED), space.groups)
        copies.append(_scores(model, form, altered) / level)
    clean, others = np.concatenate(normal), [np.concatenate(part) for part in (known, copies)]
    return float(np.mean([auc(clean, other) for other in others if len(other)]))


def scored(model: Model, form: str, x: NDArray[np.float32]) -> Floats:
    """Raw scores (n,) of encoded rows; ``class`` is the class head's -log(1 - p) alone."""
    return _scores(model, form, model.scaler.apply(x))


def _scores(model: Model, form: str, z: NDArray[np.float32]) -> Floats:
    weights, statistics = model.state.tensors(model.detector.layout)
    return score_rows(model.detector, weights, {} if form == "class" else statistics, z)


def line(scores: Floats, y: NDArray[np.float32]) -> float:
    """The score that the nominal share of normal validation rows exceeds; above 0."""
    return max(float(np.quantile(scores[y == 0], 1 - RATE)), SMALLEST)


def measured(known: Pools, ratios: Sequence[Floats]) -> dict[str, float]:
    """Figures of scores in units of the line.

    With test rows of its own each node decides on its own, and all decisions are counted together; with one test
    set for all they are means over the nodes' models.
    """
    if len(known.tests) > 1:
        return _figures(known, np.concatenate(ratios), np.concatenate(known.tests))
    each = [_figures(known, ratio, known.tests[0]) for ratio in ratios]
    return {name: float(np.mean([one[name] for one in each])) for name in each[0]}


def averaged(outcomes: Mapping[str, Outcome]) -> Outcome:
    """Mean of the figures over data sets, each over those that have it; and each data set's AUC by its name."""
    names = sorted({name for one in outcomes.values() for name in one.figures})
    each = {name: [one.figures[name] for one in outcomes.values() if name in one.figures] for name in names}
    own = {f"auc_{member}": one.figures["auc"] for member, one in outcomes.items()}
    figures = {name: float(np.mean(values)) for name, values in each.items()} | own
    return Outcome(figures, {member: dict(one.details) for member, one in outcomes.items()})


def _figures(known: Pools, ratio: Floats, rows: NDArray[np.int64]) -> dict[str, float]:
    truth, decided = known.y[rows] == 1, ratio > 1
    figures = {**decisions(decided, truth), **ranking(ratio, truth)}
    if (when := known.timing) is not None:
        figures |= events(decided, truth, when.times[rows], when.runs[rows].tolist(), when.step)
    for kind in np.unique(known.types[rows[truth]].astype(str)).tolist():
        of_kind = known.types[rows] == kind
        figures[f"recall_{kind}"] = float(decided[of_kind & truth].mean())
    return figures


def _test_of(known: Pools, number: int) -> NDArray[np.int64]:
    return known.tests[number] if len(known.tests) > 1 else known.tests[0]


def _counts(clients: Sequence[Client], known: Pools) -> dict[str, Any]:
    def of(y: NDArray[np.float32]) -> list[int]:
        return [int((y == 0).sum()), int((y == 1).sum())]

    return {
        "train": [of(client.train.y) for client in clients],
        "validation": [of(client.validation.y) for client in clients],
        "test": [of(known.y[rows]) for rows in known.tests],
    }
