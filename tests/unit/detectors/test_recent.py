"""The last records of a sequence: as counted one by one, however the stream is cut."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamgauge.detectors.recent import look_back, mean, oldest, recent_size, stillness

WIDTH = 2
Rows = NDArray[np.float32]


def one_by_one(records: Rows, span: int) -> tuple[Rows, Rows, Rows]:
    """Oldest, mean and stillness of the last record of a sequence, by the definitions."""
    seen = records[-span:]
    padded = np.concatenate([np.repeat(seen[:1], span - len(seen), axis=0), seen])
    still = np.zeros(WIDTH)
    for column in range(WIDTH):
        for newer, older in zip(seen[:0:-1, column], seen[-2::-1, column], strict=True):
            if newer != older:
                break
            still[column] += 1
    return padded[0], padded.mean(axis=0), (still / (span - 1)).astype(np.float32)


def packed(sequences: list[Rows]) -> tuple[torch.Tensor, torch.Tensor, list[tuple[int, int]]]:
    """Sequences, longest first, step by step; and which record of which sequence stands where."""
    order, sizes = [], []
    for step in range(len(sequences[0])):
        having = [i for i, rows in enumerate(sequences) if len(rows) > step]
        order += [(i, step) for i in having]
        sizes.append(len(having))
    rows = np.array([sequences[i][step] for i, step in order], np.float32)
    return torch.from_numpy(rows), torch.tensor(sizes), order


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=4).map(lambda v: sorted(v, reverse=True)),
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.integers(2, 5),
    st.integers(0, 2**32 - 1),
)
def test_records_are_seen_as_one_by_one_also_over_two_batches(
    first: list[int], second: list[int], span: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    past = [rng.integers(0, 2, (n, WIDTH)).astype(np.float32) for n in first]
    state = look_back(*packed(past)[:2], torch.zeros(len(past), recent_size(WIDTH, span)), span).state
    lengths = sorted((second * len(past))[: len(past)], reverse=True)
    present = [rng.integers(0, 2, (n, WIDTH)).astype(np.float32) for n in lengths]
    x, sizes, order = packed(present)
    before = state.clone()
    recent = look_back(x, sizes, state, span)
    assert torch.equal(state, before)
    figures = [part.numpy() for part in (oldest(recent), mean(recent), stillness(recent))]
    for place, (i, step) in enumerate(order):
        expected = one_by_one(np.concatenate([past[i], present[i][: step + 1]]), span)
        for found, wanted in zip(figures, expected, strict=True):
            np.testing.assert_allclose(found[place], wanted, atol=1e-6)
