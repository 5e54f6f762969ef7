"""A committee of detectors: each says how surprised it is in the same unit, and they are joined.

Ours. A member's scores become surprise by held-out normal records; so members of any kind can be compared, and
two of three can outvote one that knows a region of normal records badly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.quality.strict.members import MEMBERS, Floats, Scorer
from benchmarks.quality.strict.nsl import Node
from streamgauge.simulation import Space

TAIL = 0.99
"""Above this quantile of the held-out scores the tail is taken as exponential."""


def _least(surprises: Floats) -> Floats:
    return np.asarray(surprises.min(axis=0))


def _most(surprises: Floats) -> Floats:
    return np.asarray(surprises.max(axis=0))


def _mean(surprises: Floats) -> Floats:
    return np.asarray(surprises.mean(axis=0))


def _median(surprises: Floats) -> Floats:
    return np.asarray(np.median(surprises, axis=0))


WAYS: Mapping[str, Callable[[Floats], Floats]] = {"mean": _mean, "least": _least, "most": _most, "median": _median}
"""(members, n) surprises to (n,); the median of three is what two of them reach at least."""


@dataclass(frozen=True)
class Committee:
    """Which members, and how they are joined.

    Attributes:
        members: names of `members.MEMBERS`, each once.
        way: of `WAYS`; of no meaning for one member.
    """

    members: tuple[str, ...]
    way: str = "mean"

    def __str__(self) -> str:
        return self.members[0] if len(self.members) == 1 else f"{self.way} of {', '.join(self.members)}"

    def __call__(self, nodes: Sequence[Node], space: Space, seed: int) -> Scorer:
        """The committee's score of encoded rows, learned on the nodes' records."""
        scorers = [MEMBERS[name](nodes, space, seed) for name in self.members]
        held = [np.concatenate([score(node.held) for node in nodes]) for score in scorers]
        return lambda x: self.joined([surprise(h, score(x)) for h, score in zip(held, scorers, strict=True)])

    def joined(self, surprises: Sequence[Floats]) -> Floats:
        """(n,) of every member's surprises (n,), in the order of `members`."""
        return WAYS[self.way](np.stack(surprises))


def surprise(held: Floats, scores: Floats) -> Floats:
    """-log of the share of held-out normal scores that are as high; beyond `TAIL` by an exponential tail."""
    ranked = np.sort(held)
    level = float(np.quantile(ranked, TAIL))
    excess = max(float((ranked[ranked > level] - level).mean()) if (ranked > level).any() else 0.0, 1e-9)
    as_high = (len(ranked) - np.searchsorted(ranked, scores, "left") + 0.5) / (len(ranked) + 1)
    far = -np.log(1.0 - TAIL) + np.minimum((scores - level) / excess, 20.0)
    out: Floats = np.where(scores > level, far, -np.log(as_high))
    return out
