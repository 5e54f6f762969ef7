"""Client terms: the contract over the registry, gradients, literal references, and FedCAC's customised models."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamgauge.detectors import DETECTORS, Detector
from streamgauge.detectors.mlp import Mlp
from streamgauge.errors import ConfigurationError, StateError, UnknownNameError
from streamgauge.federation.terms.fedcac import FedCac, critical_parameters, customised_models, overlaps
from streamgauge.federation.terms.fedproto import FedProto, local_prototypes, merge_prototypes
from streamgauge.federation.terms.moon import Moon
from streamgauge.federation.terms.proximal import Proximal
from streamgauge.federation.terms_base import TERMS, TermContext, make_terms
from streamgauge.layout import initial_weights
from streamgauge.training import Memory, TrainingPlan, train
from tests.support.examples import examples

SMALL: Mapping[str, Mapping[str, Any]] = {
    "mlp": {"hidden": (6, 5, 4), "dropout": 0.0},
    "autoencoder": {"hidden": 6, "code": 3},
}
WIDTH = 4
SEEDS = st.integers(0, 2**31 - 1)
Tensors = dict[str, torch.Tensor]
Rows = tuple[NDArray[np.float32], NDArray[np.float32]]


def detector_of(name: str) -> Detector:
    return DETECTORS[name](WIDTH, SMALL[name])


def drawn(detector: Detector, seed: int) -> Tensors:
    arrays = initial_weights(detector.layout, seed)
    generator = torch.Generator().manual_seed(seed)
    return {n: torch.tensor(a) + 0.3 * torch.randn(a.shape, generator=generator) for n, a in arrays.items()}


def rows(n: int, seed: int = 0) -> Rows:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(n, WIDTH)).astype(np.float32)
    return x, np.resize([0.0, 1.0, np.nan], n).astype(np.float32)


def context_of(detector: Detector) -> TermContext:
    prototypes = torch.tensor(np.random.default_rng(4).normal(size=(2, _width(detector))), dtype=torch.float32)
    return TermContext(detector, drawn(detector, 1), drawn(detector, 2), prototypes)


def _width(detector: Detector) -> int:
    return detector.embed(drawn(detector, 1), torch.zeros(1, WIDTH)).shape[1]


@pytest.mark.parametrize("name", list(TERMS))
@pytest.mark.parametrize("kind", list(SMALL))
class TestEveryTerm:
    def test_it_is_a_finite_scalar_and_changes_nothing(self, name: str, kind: str) -> None:
        detector = detector_of(kind)
        context, weights = context_of(detector), drawn(detector, 3)
        before = {n: w.clone() for n, w in weights.items()}
        (term,) = make_terms({name: {}}, detector)
        x, y = (torch.tensor(part) for part in rows(9))
        loss = term.loss(context, weights, x, y)
        assert loss.shape == ()
        assert bool(loss.isfinite())
        assert bool(loss >= 0)
        assert all(torch.equal(before[n], w) for n, w in weights.items())

    def test_without_anything_to_compare_with_it_is_finite(self, name: str, kind: str) -> None:
        detector = detector_of(kind)
        (term,) = make_terms({name: {}}, detector)
        base = drawn(detector, 1)
        weights = {n: w.clone().requires_grad_(True) for n, w in base.items()}
        x, y = (torch.tensor(part) for part in rows(3))
        loss = term.loss(TermContext(detector, base), weights, x, y)
        assert float(loss.detach()) == 0

    def test_training_with_it_repeats_and_leaves_its_arguments(self, name: str, kind: str) -> None:
        detector = detector_of(kind)
        base = initial_weights(detector.layout, 0)
        previous = {n: a + np.float32(0.1) for n, a in base.items()}
        prototypes = np.full((2, _width(detector)), 0.5, np.float32)
        memory, plan = Memory(previous, prototypes), TrainingPlan(epochs=2, batch_size=8, terms={name: {}})
        first, second = (train(detector, base, rows(40), plan, memory=memory).delta for _ in range(2))
        assert all(first[n].tobytes() == second[n].tobytes() for n in base)
        assert all(np.array_equal(base[n], a) for n, a in initial_weights(detector.layout, 0).items())
        assert (prototypes == 0.5).all()

    def test_unknown_settings_are_refused(self, name: str, kind: str) -> None:
        with pytest.raises(ConfigurationError, match=f"client term '{name}' has no setting no_such; known: "):
            make_terms({name: {"no_such": 1}}, detector_of(kind))

    def test_it_is_live_or_says_why_not(self, name: str, kind: str) -> None:
        detector = detector_of(kind)
        if TERMS[name].simulation_only is None:
            assert make_terms({name: {}}, detector, live=True)
        else:
            with pytest.raises(ConfigurationError, match=f"'{name}' is for simulations only: its|it .*; take"):
                make_terms({name: {}}, detector, live=True)


def test_settings_are_checked_without_torch() -> None:
    code = """
import sys; sys.modules["torch"] = None
from streamgauge.detectors import DETECTORS
from streamgauge.federation.terms_base import TERMS, make_terms
assert len(make_terms({name: {} for name in TERMS}, DETECTORS["mlp"](1))) == len(TERMS) > 0
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("configs", "match"),
    [
        ({"prox": {}}, "unknown client term 'prox'; known: fedcac, fedproto, moon, proximal"),
        ({"proximal": {"mu": 0}}, "'proximal': mu=0 must be a number above 0, at most 1e\\+06"),
        ({"proximal": {"mu": True}}, "mu=True must"),
        ({"proximal": {"mu": math.nan}}, "mu=nan must"),
        ({"moon": {"temperature": -1}}, "temperature=-1 must"),
        ({"fedproto": {"weight": "1"}}, "weight='1' must"),
        ({"fedcac": {"share": 1.5}}, "share=1.5 must be a number above 0, at most 1"),
    ],
)
def test_wrong_terms_are_one_line(configs: dict[str, dict[str, Any]], match: str) -> None:
    with pytest.raises(ConfigurationError, match=match) as caught:
        make_terms(configs, detector_of("mlp"))
    assert "\n" not in str(caught.value)


def test_a_detector_without_an_embedding_is_named() -> None:
    class Bare(Mlp):
        name = "bare"
        embed = Detector.embed

    with pytest.raises(
        ConfigurationError, match=r"'moon' needs an embedding and detector 'bare' has none; choose"
    ):
        make_terms({"moon": {}}, Bare(WIDTH))
    with pytest.raises(ConfigurationError, match="'bare' has no embedding"):
        Bare(WIDTH).embed({}, torch.zeros(1, WIDTH))
    assert make_terms({"proximal": {}}, Bare(WIDTH))


def test_unknown_terms_end_the_training_before_it_begins() -> None:
    detector = detector_of("mlp")
    with pytest.raises(UnknownNameError, match="unknown client term 'nope'"):
        train(detector, initial_weights(detector.layout, 0), rows(9), TrainingPlan(terms={"nope": {}}))


# -- proximal --------------------------------------------------------------------------------------------


@examples(10)
@given(seed=SEEDS, mu=st.floats(1e-3, 10))
def test_the_proximal_gradient_is_mu_times_the_difference(seed: int, mu: float) -> None:
    detector = detector_of("mlp")
    base = {n: w.double() for n, w in drawn(detector, seed).items()}
    weights = {n: (w.double() + 0.5).requires_grad_(True) for n, w in drawn(detector, seed + 1).items()}
    context, x = TermContext(detector, base), torch.zeros(1, WIDTH, dtype=torch.float64)
    term = Proximal(mu)
    torch.autograd.backward(term.loss(context, weights, x, x[:, 0]))
    step = 1e-6
    for name, weight in weights.items():
        assert weight.grad is not None
        torch.testing.assert_close(weight.grad, mu * (weight.detach() - base[name]))
        moved = []
        for sign in (1, -1):
            changed = {n: w.detach().clone() for n, w in weights.items()}
            changed[name].view(-1)[0] += sign * step
            moved.append(float(term.loss(context, changed, x, x[:, 0])))
        numeric = (moved[0] - moved[1]) / (2 * step)
        assert numeric == pytest.approx(float(weight.grad.view(-1)[0]), rel=1e-5, abs=1e-5)


def test_a_stronger_proximal_term_ends_nearer_to_the_base() -> None:
    detector = detector_of("autoencoder")
    base = initial_weights(detector.layout, 0)
    lengths = []
    for terms in ({}, {"proximal": {"mu": 1.0}}, {"proximal": {"mu": 100.0}}):
        plan = TrainingPlan(epochs=20, batch_size=16, learning_rate=1e-2, terms=terms)
        delta = train(detector, base, rows(64), plan).delta
        lengths.append(math.sqrt(sum(float((d**2).sum()) for d in delta.values())))
    assert lengths[0] > lengths[1] > lengths[2]


# -- moon ------------------------------------------------------------------------------------------------


def moon_by_hand(now: Any, globally: Any, before: Any, mu: float, tau: float) -> float:
    """The paper's formula, row by row, in plain Python."""

    def cosine(a: Any, b: Any) -> float:
        norms = math.sqrt(sum(u * u for u in a)) * math.sqrt(sum(v * v for v in b))
        return float(sum(u * v for u, v in zip(a, b, strict=True)) / norms)

    total = 0.0
    for z, g, p in zip(now, globally, before, strict=True):
        near, far = math.exp(cosine(z, g) / tau), math.exp(cosine(z, p) / tau)
        total += -math.log(near / (near + far))
    return mu * total / len(now)


@examples(10)
@given(seed=SEEDS, tau=st.floats(0.1, 5), mu=st.floats(0.1, 10), kind=st.sampled_from(sorted(SMALL)))
def test_moon_is_the_paper_s_formula(seed: int, tau: float, mu: float, kind: str) -> None:
    detector = detector_of(kind)
    base, previous, weights = (drawn(detector, seed + i) for i in range(3))
    x, y = (torch.tensor(part) for part in rows(7, seed))
    loss = Moon(mu, tau).loss(TermContext(detector, base, previous), weights, x, y)
    embedded = [detector.embed(w, x).double().tolist() for w in (weights, base, previous)]
    expected = moon_by_hand(embedded[0], embedded[1], embedded[2], mu, tau)
    assert float(loss) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_moon_has_no_gradient_where_the_previous_model_is_the_base() -> None:
    """So that leaving the term out before a node has trained changes nothing."""
    detector = detector_of("mlp")
    base = drawn(detector, 1)
    weights = {n: (w + 0.1).requires_grad_(True) for n, w in base.items()}
    x, y = (torch.tensor(part) for part in rows(7))
    torch.autograd.backward(Moon().loss(TermContext(detector, base, base), weights, x, y))
    assert all(w.grad is None or float(w.grad.abs().max()) < 1e-7 for w in weights.values())


# -- fedproto --------------------------------------------------------------------------------------------


def test_fedproto_is_the_distance_to_the_own_class_s_prototype() -> None:
    detector = detector_of("mlp")
    context, weights = context_of(detector), drawn(detector, 3)
    x, y = (torch.tensor(part) for part in rows(9))
    embedded, wanted = detector.embed(weights, x).tolist(), context.prototypes
    assert wanted is not None
    parts = [
        (z - w) ** 2
        for row, label in zip(embedded, y.tolist(), strict=True)
        for z, w in zip(row, wanted[int(label == 1)].tolist(), strict=True)
    ]
    loss = FedProto(2.0).loss(context, weights, x, y)
    assert float(loss) == pytest.approx(2.0 * sum(parts) / len(parts), rel=1e-5)


def test_a_class_that_nobody_has_adds_nothing() -> None:
    detector = detector_of("mlp")
    weights, prototypes = drawn(detector, 3), torch.full((2, 4), float("nan"))
    prototypes[0] = 1.0
    x, y = (torch.tensor(part) for part in rows(9))
    context = TermContext(detector, weights, prototypes=prototypes)
    only_normal = y != 1
    expected = FedProto().loss(context, weights, x[only_normal], y[only_normal])
    assert float(FedProto().loss(context, weights, x, y)) == pytest.approx(float(expected))
    assert float(FedProto().loss(context, weights, x[~only_normal], y[~only_normal])) == 0


@given(seed=SEEDS, cut=st.integers(1, 29))
@examples(10)
def test_merged_prototypes_are_those_of_all_records(seed: int, cut: int) -> None:
    detector = detector_of("mlp")
    weights, (x, y) = drawn(detector, 1), rows(30, seed)
    parts = [local_prototypes(detector, weights, x[s], y[s]) for s in (slice(cut), slice(cut, None))]
    together = merge_prototypes([local_prototypes(detector, weights, x, y)])
    np.testing.assert_allclose(merge_prototypes(parts), together, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(merge_prototypes(parts[::-1]), together, rtol=1e-5, atol=1e-6)


def test_prototypes_of_missing_classes_are_nan_and_of_no_nodes_an_error() -> None:
    detector = detector_of("mlp")
    x, _ = rows(5)
    merged = merge_prototypes([local_prototypes(detector, drawn(detector, 1), x, np.zeros(5, np.float32))])
    assert np.isfinite(merged[0]).all()
    assert np.isnan(merged[1]).all()
    with pytest.raises(StateError, match="at least one"):
        merge_prototypes([])


# -- fedcac ----------------------------------------------------------------------------------------------


def test_critical_parameters_are_the_most_sensitive_ones_of_each_tensor() -> None:
    before = {"a": np.array([[1.0, 2.0], [3.0, 4.0]]), "b": np.zeros(3)}
    after = {"a": np.array([[1.5, 2.1], [3.0, 0.0]]), "b": np.zeros(3)}
    # |(after - before) * after|: 0.75, 0.21, 0, 0; and all zero
    masks = critical_parameters(before, after, 0.5)
    assert masks["a"].tolist() == [[True, True], [False, False]]
    assert masks["b"].tolist() == [True, False, False]
    assert critical_parameters(before, after, 0.25)["a"].sum() == 1


def _clients(seed: int, n: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]], NDArray[np.float64]]:
    generator = np.random.default_rng(seed)
    before = {"w": generator.normal(size=(3, 4)), "b": generator.normal(size=5)}
    models = [{name: a + generator.normal(size=a.shape) for name, a in before.items()} for _ in range(n)]
    return models, [critical_parameters(before, m, 0.5) for m in models], generator.uniform(1, 9, n)


@given(seed=SEEDS, n=st.integers(2, 6))
def test_overlaps_count_common_critical_parameters(seed: int, n: int) -> None:
    _, masks, _ = _clients(seed, n)
    alike = overlaps(masks)
    for i in range(n):
        for j in range(n):
            common = sum(int((masks[i][k] & masks[j][k]).sum()) for k in masks[i])
            assert alike[i, j] == pytest.approx(common / sum(int(m.sum()) for m in masks[i].values()))


@given(seed=SEEDS, n=st.integers(1, 6), finished=st.integers(1, 200))
def test_customised_models_by_their_definition(seed: int, n: int, finished: int) -> None:
    models, masks, counts = _clients(seed, n)
    alike = overlaps(masks)
    pairs = [alike[i, j] for i in range(n) for j in range(n) if i != j]
    bar = np.mean(pairs) + finished / 100 * (max(pairs) - np.mean(pairs)) if pairs else 0.0
    found = customised_models(models, masks, counts, finished, FedCac().beta)
    for i in range(n):
        helpers = [j for j in range(n) if j == i or alike[i, j] >= bar]
        for name, mask in masks[i].items():
            average = sum(c * m[name] for c, m in zip(counts, models, strict=True)) / counts.sum()
            mean = sum(models[j][name] for j in helpers) / len(helpers)
            np.testing.assert_allclose(found[i][name], np.where(mask, mean, average), rtol=1e-5, atol=1e-6)


def test_after_many_rounds_critical_parameters_are_a_client_s_own() -> None:
    models, masks, counts = _clients(1, 4)
    found = customised_models(models, masks, counts, 1000, 100.0)
    for model, mask, custom in zip(models, masks, found, strict=True):
        for name in mask:
            np.testing.assert_allclose(custom[name][mask[name]], model[name][mask[name]], rtol=1e-6)
    with pytest.raises(StateError, match="at least one"):
        customised_models([], [], np.zeros(0), 1, 100.0)
