from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from streamgauge.stream.judged import MOST_REPEATS, Judged
from streamgauge.stream.learning import Learner, LearningPolicy
from streamgauge.stream.reservoir import Rows, empty_rows

WIDTH, CAPACITY = 2, 12
LABELS = (1.0, 0.0, float("nan"))


def rows(alert: int, n: int) -> Rows:
    made = empty_rows(n, WIDTH)
    made["x"][:] = alert
    made["x"][0, 1] = np.nan  # a masked cell
    return made


class JudgedMachine(RuleBasedStateMachine):
    """Against a plain list of (alert, version, label, rows), with a restart between any two steps."""

    def __init__(self) -> None:
        super().__init__()
        self.learner = Learner(LearningPolicy(labelled_rows=CAPACITY), np.full(WIDTH, 5.0), 0)
        self.model: dict[str, tuple[int, float, int]] = {}

    @rule(alert=st.integers(0, 9), n=st.integers(1, 5), version=st.integers(1, 9), label=st.sampled_from(LABELS))
    def verdict(self, alert: int, n: int, version: int, label: float) -> None:
        name = str(alert)
        assert (name in self.learner.judged) == (name in self.model)
        if name in self.model:
            known = self.model[name]
            assert self.learner.judged.change(name, version, label) == (version > known[0])
            if version > known[0]:
                self.model[name] = (version, label, known[2])
        elif not np.isnan(label):
            self.learner.judged.add(name, version, label, rows(alert, n))
            self.model[name] = (version, label, n)
            while sum(n for _, _, n in self.model.values()) > CAPACITY:
                del self.model[next(iter(self.model))]

    @rule()
    def restart(self) -> None:
        state = self.learner.to_state()
        self.learner = Learner.from_state(state, self.learner.policy, np.full(WIDTH, 5.0), 0)

    @invariant()
    def each_row_counts_once_under_its_newest_label(self) -> None:
        expected = [
            (float(name), label)
            for name, (_, label, n) in self.model.items()
            for _ in range(n)
            if not np.isnan(label)
        ]
        found = self.learner.judged.rows()
        assert list(zip(found["x"][:, 0].tolist(), found["y"].tolist(), strict=True)) == expected
        normal = [value for value, label in expected if label == 0.0]
        moments = self.learner.moments
        assert moments.n[0] == len(normal)
        assert np.isclose(moments.sum[0], sum(value - 5 for value in normal))
        assert np.isclose(moments.sumsq[0], sum((value - 5) ** 2 for value in normal))
        assert moments.n[1] == len(normal) - sum(label == 0.0 for _, label, _ in self.model.values())
        x, y = self.learner.training_rows()
        assert len(x) == len(expected)  # nothing else was learned, so nothing is repeated
        assert len(self.learner.training_rows(judged=False)[0]) == 0
        assert len(self.learner.judged.rows(1.0)["x"]) == sum(y == 1.0)


TestJudged = JudgedMachine.TestCase


def test_a_few_judged_rows_count_several_times_and_many_once() -> None:
    judged = Judged(1000, WIDTH)
    judged.add("a", 1, 1.0, rows(1, 5))
    assert len(judged.training_rows(100_000)["y"]) == 5 * MOST_REPEATS
    assert len(judged.training_rows(300)["y"]) == 5 * 3
    judged.add("b", 1, 0.0, rows(2, 100))
    assert len(judged.training_rows(300)["y"]) == 105
    assert len(Judged(10, WIDTH).training_rows(300)["y"]) == 0
