"""Records that choose a committee: from KDDTrain+ alone, without a look at the test file.

One of the ten nodes, a quarter of the services, or a quarter of the modes (clusters of normal records), drawn by
the seed, is held apart: no member learns from them. Half of the other held-out records set the line; the other
half and the records apart are to be left alone: normal behaviour that is known, and such that is new. To be found
are either seeded corruptions of known normal records, or the attacks of KDDTrain+.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.data import load
from benchmarks.quality.strict.committee import Committee, surprise
from benchmarks.quality.strict.members import MEMBERS, Floats
from benchmarks.quality.strict.mixture import first_centres
from benchmarks.quality.strict.nsl import Matrix, Node, agreed_scaler, strict_nsl
from streamgauge.evaluation.corruptions import Kind, corrupt
from streamgauge.profiles.loaders.records import encoded
from streamgauge.profiles.profile import load_profile
from streamgauge.simulation import Space

RATE = 0.05
MOST = 3000
"""Records of each population."""
KINDS: tuple[Kind, ...] = ("spike", "stuck", "drift", "marginal")
SERVICE = "service="
APART = 0.25
"""Share of the services, or of the modes."""
MODES = 64
Apart = Literal["node", "services", "modes"]
Has = Callable[[Matrix], NDArray[np.bool_]]
"""Encoded rows to whether each is of what is held apart."""


@dataclass(frozen=True, eq=False)
class Validation:
    """What members learn from, and what the committees are judged on; all rows encoded.

    Attributes:
        nodes: to learn from; their `held` set the line.
        space: the public encoding.
        normal: population -> rows: ``known``, ``new``.
        abnormal: ``corruptions``, ``attacks`` -> kind -> rows.
    """

    nodes: tuple[Node, ...]
    space: Space
    normal: Mapping[str, Matrix]
    abnormal: Mapping[str, Mapping[str, Matrix]]


def validation(data: Path, seed: int, apart: Apart) -> Validation:
    """By the seed: division over nodes, what is held apart, corruptions and which attacks are drawn."""
    strict = strict_nsl(data, seed)
    generator = np.random.default_rng([seed, 2])
    if apart == "node":
        i = int(generator.integers(len(strict.nodes)))
        left, new = [*strict.nodes[:i], *strict.nodes[i + 1 :]], strict.nodes[i].train
    else:
        find = services_apart if apart == "services" else modes_apart
        left, new = without(strict.nodes, find(strict.nodes, strict.space, generator))
    nodes = [Node(node.train, node.held[: len(node.held) // 2]) for node in left]
    known = np.concatenate([node.held[len(node.held) // 2 :] for node in left])
    normal = {"known": _drawn(known, generator), "new": _drawn(new, generator)}
    scaler = agreed_scaler(nodes, strict.space)
    z = scaler.apply(normal["known"])
    corruptions: dict[str, Matrix] = {}
    for kind in KINDS:
        changed = corrupt(z, generator, strict.space.groups, (kind,))
        corruptions[kind] = np.asarray(changed * scaler.scale + scaler.mean, np.float32)
    return Validation(
        tuple(nodes), strict.space, normal, {"corruptions": corruptions, "attacks": _attacks(data, generator)}
    )


def services_apart(nodes: Sequence[Node], space: Space, generator: np.random.Generator) -> Has:
    """A quarter of the services that training records have; `space` is that of NSL-KDD."""
    names = load_profile("nsl-kdd").schema.columns
    return categories_apart(nodes, np.flatnonzero([name.startswith(SERVICE) for name in names]), generator)


def categories_apart(nodes: Sequence[Node], columns: NDArray[np.int64], generator: np.random.Generator) -> Has:
    """A quarter of the one-hot columns that are set in training records."""
    seen = columns[np.concatenate([node.train[:, columns] for node in nodes]).any(axis=0)]
    gone = generator.permutation(seen)[: round(APART * len(seen))]
    return lambda x: np.asarray(x[:, gone].any(axis=1))


def modes_apart(nodes: Sequence[Node], space: Space, generator: np.random.Generator) -> Has:
    """A quarter of `MODES` clusters of the training records, standardised."""
    scaler = agreed_scaler(nodes, space)
    parts = [scaler.apply(node.train).astype(np.float64) for node in nodes]
    centres = first_centres(parts, MODES, int(generator.integers(2**31)))
    gone = generator.permutation(len(centres))[: round(APART * len(centres))]

    def has(x: Matrix) -> NDArray[np.bool_]:
        z = scaler.apply(x).astype(np.float64)
        return np.isin(((centres**2).sum(axis=1) - 2.0 * z @ centres.T).argmin(axis=1), gone)

    return has


def without(nodes: Sequence[Node], has: Has) -> tuple[list[Node], Matrix]:
    """The nodes without the records that `has` holds of, and the training records of which it does."""
    left, new = [], []
    for node in nodes:
        train, held = has(node.train), has(node.held)
        new.append(node.train[train])
        if not train.all():
            left.append(Node(node.train[~train], node.held[~held]))
    return left, np.concatenate(new)


def _drawn(x: Matrix, generator: np.random.Generator) -> Matrix:
    return x[generator.permutation(len(x))[:MOST]]


def _attacks(data: Path, generator: np.random.Generator) -> dict[str, Matrix]:
    table = load("nsl-kdd", data, ("KDDTrain+.txt*",))
    profile, types = load_profile("nsl-kdd"), table.attack_types
    names = sorted({str(name) for name in types[table.labels == 1]})
    rows = {name: generator.permutation(np.flatnonzero(types == name))[: MOST // 10] for name in names}
    return {name: encoded(table.take(found), profile) for name, found in rows.items()}


@dataclass(frozen=True, eq=False)
class Surprises:
    """Every member's surprise: of the held-out records of the line, and of each population."""

    line: Mapping[str, Floats]
    normal: Mapping[str, Mapping[str, Floats]]
    abnormal: Mapping[str, Mapping[str, Mapping[str, Floats]]]


def surprises(v: Validation, seed: int) -> Surprises:
    """Fit every member once; keys are population or kind, then member."""
    line: dict[str, Floats] = {}
    normal: dict[str, dict[str, Floats]] = {name: {} for name in v.normal}
    abnormal: dict[str, dict[str, dict[str, Floats]]] = {
        s: {k: {} for k in kinds} for s, kinds in v.abnormal.items()
    }
    for member, make in MEMBERS.items():
        score = make(v.nodes, v.space, seed)
        held = np.concatenate([score(node.held) for node in v.nodes])
        line[member] = surprise(held, held)
        for name, x in v.normal.items():
            normal[name][member] = surprise(held, score(x))
        for source, kinds in v.abnormal.items():
            for kind, x in kinds.items():
                abnormal[source][kind][member] = surprise(held, score(x))
    return Surprises(line, normal, abnormal)


def candidates() -> list[Committee]:
    """Every member alone, every two and every three of them, joined in every way."""
    alone = [Committee((name,)) for name in MEMBERS]
    two = [Committee(names, way) for names in combinations(MEMBERS, 2) for way in ("mean", "least", "most")]
    three = [
        Committee(names, way) for names in combinations(MEMBERS, 3) for way in ("mean", "median", "least", "most")
    ]
    return alone + two + three


def judged(committee: Committee, s: Surprises, populations: Sequence[str]) -> dict[str, dict[str, float]]:
    """F1 at the nominal rate, false alarms and ROC-AUC for each source of abnormal records.

    Every kind of abnormal records counts the same, so does each of the normal `populations`, and both sides are
    equally many: F1 = 2 recall / (1 + recall + false alarms).
    """

    def joined(of: Mapping[str, Floats]) -> Floats:
        return committee.joined([of[name] for name in committee.members])

    line = float(np.quantile(joined(s.line), 1.0 - RATE))
    normal = [np.sort(joined(s.normal[name])) for name in populations]
    alarms = float(np.mean([(part > line).mean() for part in normal]))
    out = {}
    for source, kinds in s.abnormal.items():
        scores = [joined(of) for of in kinds.values()]
        recall = float(np.mean([(part > line).mean() for part in scores]))
        area = float(np.mean([_auc(part, of) for part in scores for of in normal]))
        out[source] = {"f1": 2.0 * recall / (1.0 + recall + alarms), "auc": area, "false_alarms": alarms}
    return out


def _auc(abnormal: Floats, normal: Floats) -> float:
    """`normal` ascending."""
    below, up_to = (np.searchsorted(normal, abnormal, side) for side in ("left", "right"))
    return float((below + up_to).mean() / (2.0 * len(normal)))
