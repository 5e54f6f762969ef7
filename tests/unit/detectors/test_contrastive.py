"""The detector `contrastive` beyond what every detector promises: label mixes, narrow rows, what labels bring."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamgauge.detectors import DETECTORS
from streamgauge.detectors.augmentations import corrupted, view
from streamgauge.detectors.contrastive import NORMAL, Contrastive
from streamgauge.evaluation.metrics import auc
from streamgauge.judging import score_rows, take_statistics
from streamgauge.layout import initial_weights
from streamgauge.state import statistics_tensors
from streamgauge.training import TrainingPlan, train
from tests.support.examples import examples

NAN = float("nan")


def detector(width: int) -> Contrastive:
    made = DETECTORS["contrastive"](width, {})
    assert isinstance(made, Contrastive)
    return made


def weights_of(made: Contrastive, seed: int = 3) -> dict[str, torch.Tensor]:
    drawn = initial_weights(made.layout, seed)
    return {name: torch.tensor(array, requires_grad=True) for name, array in drawn.items()}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# -- the loss --------------------------------------------------------------------------------------------


@examples(15)
@given(
    st.lists(st.sampled_from([0.0, 1.0, NAN]), max_size=8),
    st.sampled_from([1, 2, 6]),
    st.sampled_from(["normal", "zero", "constant", "extreme"]),
    st.integers(0, 1000),
)
def test_every_mix_of_labels_has_a_finite_loss_and_gradient(
    labels: list[float], width: int, kind: str, seed: int
) -> None:
    made = detector(width)
    rows = {
        "normal": torch.empty(len(labels), width).normal_(generator=generator(seed)),
        "zero": torch.zeros(len(labels), width),
        "constant": torch.full((len(labels), width), 1.5),
        "extreme": torch.full((len(labels), width), -5.0),
    }[kind]
    y, x = torch.tensor(labels), rows.clone()
    losses = []
    for _ in range(2):
        weights = weights_of(made)
        loss = made.loss(weights, x, y, generator(seed))
        torch.autograd.backward(loss)
        assert bool(loss.isfinite())
        assert all(w.grad is not None and bool(w.grad.isfinite().all()) for w in weights.values())
        losses.append(loss.item())
    assert losses[0] == losses[1]
    assert torch.equal(x, rows)


def test_an_empty_batch_gives_no_gradient() -> None:
    made = detector(4)
    weights = weights_of(made)
    loss = made.loss(weights, torch.zeros(0, 4), torch.zeros(0), generator())
    torch.autograd.backward(loss)
    assert loss.item() == 0
    assert not any(bool(w.grad.any()) for w in weights.values() if w.grad is not None)


def test_abnormal_rows_alone_leave_the_class_head_as_it_is() -> None:
    made = detector(4)
    weights = weights_of(made)
    x = torch.empty(6, 4).normal_(generator=generator())
    torch.autograd.backward(made.loss(weights, x, torch.ones(6), generator()))
    gradient = {name: w.grad for name, w in weights.items()}
    assert not torch.as_tensor(gradient["class.weight"]).any()
    assert torch.as_tensor(gradient["encoder.0.weight"]).any()


def test_one_labelled_abnormal_row_weighs_as_much_as_many() -> None:
    """Half the abnormal side is labelled rows, however few there are."""
    made, x = detector(3), torch.empty(40, 3).normal_(generator=generator())
    for count in (1, 10):
        y = torch.full((40,), NAN)
        y[:count] = 1
        rows, groups, target = made._balanced(x, y, generator())
        normal = 40 - count
        assert len(rows) == 2 * normal
        assert target.sum() == normal
        assert (groups == 1).sum() == normal
        drawn = rows[normal : normal + normal // 2]
        assert bool((drawn[:, None] == x[None, :count]).all(dim=2).any(dim=1).all())


def test_rows_without_a_label_are_no_positives_of_each_other() -> None:
    made, x = detector(3), torch.empty(6, 3).normal_(generator=generator())
    _, groups, _ = made._balanced(x, torch.tensor([0.0, 0.0, NAN, NAN, 1.0, 1.0]), generator())
    assert groups[:2].tolist() == [0, 0]
    assert len(set(groups[2:4].tolist()) | {0, 1}) == 4
    assert groups[4:].tolist() == [1] * 4


# -- scores ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 5])
def test_before_the_first_vote_and_for_constant_normal_rows_scores_are_finite(width: int) -> None:
    made = detector(width)
    weights = {name: w.detach() for name, w in weights_of(made).items()}
    constant = np.zeros((100, width), np.float32)
    spread = np.random.default_rng(0).normal(size=(50, width)).astype(np.float32)
    taken = statistics_tensors(made.layout, take_statistics(made, weights, constant))
    for statistics in ({}, taken):
        for rows in (constant, spread):
            scores = score_rows(made, weights, statistics, rows)
            parts = made.attribute(weights, statistics, torch.from_numpy(rows))
            assert np.isfinite(scores).all()
            assert (scores >= 0).all()
            assert bool(parts.isfinite().all())
    assert score_rows(made, weights, taken, spread).mean() > score_rows(made, weights, taken, constant).mean()


def test_a_category_never_seen_is_no_more_normal_than_the_usual_one() -> None:
    """One-hot columns: the usual category everywhere in training, another one in the row."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(800, 8)).astype(np.float32)
    x[:, 6:] = 0.0  # standardised: constant columns are 0
    made = detector(8)
    weights, statistics = learned(made, x, np.full(len(x), NAN, np.float32), epochs=8)
    usual, unseen = x[:300].copy(), x[:300].copy()
    unseen[:, 6], unseen[:, 7] = -3.3, 3.3
    assert auc(score_rows(made, weights, statistics, usual), score_rows(made, weights, statistics, unseen)) > 0.9


def learned(
    made: Contrastive, x: NDArray[np.float32], y: NDArray[np.float32], epochs: int
) -> tuple[dict[str, torch.Tensor], dict[str, tuple[torch.Tensor, ...]]]:
    base = initial_weights(made.layout, 3)
    trained = train(made, base, (x, y), TrainingPlan(epochs=epochs, learning_rate=2e-3, seed=1))
    weights = {name: torch.tensor(base[name] + trained.delta[name]) for name in base}
    return weights, dict(statistics_tensors(made.layout, take_statistics(made, weights, x[~(y == 1)])))


def shifted(n: int, shift: float, seed: int) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).normal(size=(n, 6)) + shift).astype(np.float32)


def test_few_labels_teach_what_corrupted_copies_do_not() -> None:
    """Abnormal rows a little higher in every column, each column alone within the normal range."""
    normal, abnormal = shifted(800, 0.0, 1), shifted(300, 1.2, 2)
    made = detector(6)
    x, y = np.concatenate([normal, abnormal[:20]]), np.repeat(np.array([NAN, 1], np.float32), [800, 20])
    fresh = shifted(500, 0.0, 3)
    before, after = (
        auc(score_rows(made, *model, fresh), score_rows(made, *model, abnormal[20:]))
        for model in (learned(made, normal, y[:800], epochs=8), learned(made, x, y, epochs=8))
    )
    assert after > 0.9
    assert after > before


def test_the_embedding_is_what_the_statistics_describe() -> None:
    made, x = detector(4), torch.empty(30, 4).normal_(generator=generator())
    weights = {name: w.detach() for name, w in weights_of(made).items()}
    embedded = made.embed(weights, x)
    assert embedded.shape == (30, made.config.embedding)
    assert torch.equal(made.observe(weights, x)[NORMAL], embedded)


def test_a_detector_says_whether_the_demo_is_to_send_it_labels() -> None:
    assert {name: DETECTORS[name].uses_labels for name in ("autoencoder", "contrastive", "mlp")} == {
        "autoencoder": False,
        "contrastive": True,
        "mlp": True,
    }


# -- augmentations ---------------------------------------------------------------------------------------


@examples(15)
@given(st.integers(0, 20), st.integers(1, 5), st.floats(0, 0.9), st.integers(0, 1000))
def test_a_view_hides_and_resamples_but_invents_nothing(n: int, width: int, share: float, seed: int) -> None:
    x = torch.empty(n, width).normal_(generator=generator(seed))
    before = x.clone()
    seen = view(x, share, 0.0, generator(seed))
    assert torch.equal(seen, view(x, share, 0.0, generator(seed)))
    assert torch.equal(x, before)
    own = (seen[:, None, :] == x[None, :, :]).any(dim=1)
    assert bool((own | (seen == 0)).all())


def test_the_share_of_changed_columns_is_as_asked() -> None:
    x = torch.empty(2000, 10).normal_(generator=generator())
    seen = view(x, 0.3, 0.0, generator(1))
    assert (seen == 0).float().mean().item() == pytest.approx(0.15, abs=0.01)
    assert (seen != x).float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert torch.equal(view(x, 0.0, 0.0, generator()), x)


@examples(15)
@given(st.integers(0, 20), st.integers(1, 5), st.integers(0, 1000))
def test_a_corrupted_copy_differs_in_at_least_one_column(n: int, width: int, seed: int) -> None:
    x = torch.empty(n, width).normal_(generator=generator(seed))
    copy = corrupted(x, 0.2, generator(seed))
    assert copy.shape == x.shape
    assert bool((copy != x).any(dim=1).all())
