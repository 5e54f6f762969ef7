"""Federated contrastive learning (paper 1: behavioural anomaly detection via federated contrastive learning).

From the paper: an encoder, NT-Xent with positives of the same class and negatives of the other, a classification
loss beside it, weights averaged by size. It states neither networks nor temperature nor weights of the terms nor
how a record is scored; those are ours, see docs/adr/027-contrastive.md. Its third term, lambda2 times the squared
distance to the global weights, belongs to the client (term `proximal`), not to the detector.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamgauge.detectors.augmentations import corrupted, view
from streamgauge.detectors.base import DETECTORS, Detector, DetectorConfig, Statistics, Weights, whole
from streamgauge.detectors.contrast import contrastive_loss
from streamgauge.detectors.layers import dense, dense_items, elu
from streamgauge.detectors.mahalanobis import prepared, whitening
from streamgauge.layout import Item

if TYPE_CHECKING:
    import torch

NORMAL = "normal"
"""Item of phase `under_candidate`: mean and covariance of the embedding on presumed-normal rows."""
SMALLEST = 1e-12
"""Of a squared distance: the gradient of the root is infinite at 0."""
SMALLEST_VARIANCE = 1e-3
"""Mean variance of the embedding below which the score counts it as this: normal rows that are all the same."""


@dataclass(frozen=True)
class ContrastiveConfig(DetectorConfig):
    """Hyper-parameters.

    Attributes:
        hidden: units of the encoder's hidden layer.
        embedding: size of the encoder's output z.
        projection: size of the projection on which the contrastive loss works.
        temperature: tau of the contrastive loss.
        class_weight: lambda1, weight of the classification loss.
        changed_share: share of columns hidden or resampled in a view, in [0, 1).
        jitter: standard deviation of the noise on a view, in standard deviations of a column.
        corrupted_share: share of columns replaced in a corrupted copy, in (0, 1].
        ridge: added to every variance of the embedding in the score, times their mean: the larger, the less a
            correlation that is broken counts.
    """

    hidden: int = 96
    embedding: int = 32
    projection: int = 16
    temperature: float = 0.2
    class_weight: float = 1.0
    changed_share: float = 0.2
    jitter: float = 0.1
    corrupted_share: float = 0.2
    ridge: float = 0.3

    def __post_init__(self) -> None:
        for name in ("hidden", "embedding", "projection"):
            self.require(name, whole, "a whole number from 1 to 100000")
        self.require("temperature", lambda v: 0.01 <= v <= 100, "a number from 0.01 to 100")
        self.require("class_weight", lambda v: 0 <= v <= 1000, "a number from 0 to 1000")
        self.require("changed_share", lambda v: 0 <= v < 1, "a number from 0, below 1")
        self.require("jitter", lambda v: 0 <= v <= 10, "a number from 0 to 10")
        self.require("corrupted_share", lambda v: 0 < v <= 1, "a number above 0, at most 1")
        self.require("ridge", lambda v: 1e-4 <= v <= 100, "a number from 0.0001 to 100")


@DETECTORS.register("contrastive")
class Contrastive(Detector):
    """Encoder, projection head and class head; raw score = distance to normal embeddings + -log(1 - p).

    The distance is Mahalanobis' over the root of the embedding's size, about 1 on normal rows: mean and covariance
    of their embeddings are taken under the candidate and merged over the nodes; before the first vote p, the class
    head's probability of "abnormal", scores alone. Without labels both losses set rows against corrupted copies
    of them (ours).

    Measured on held-out rows of KDDTrain+ (10,000 normal, 10,000 attacks; 5,000 normal training rows, 10 epochs,
    plan defaults, mean of three seeds; AUC and recall at 1 % false alarms; the last row on 6,187 attacks):

    ==============================  ==============  ==============  ==============
    labels                          contrastive     autoencoder     mlp
    ==============================  ==============  ==============  ==============
    none                            0.988 / 0.798   0.989 / 0.779   0.762 / 0.194
    100 attacks, the rest none      0.997 / 0.969   0.988 / 0.779   0.986 / 0.953
    all, 5,000 attacks              0.999 / 0.981   0.990 / 0.784   0.999 / 0.983
    500 DoS; tested on other kinds  0.977 / 0.666   0.971 / 0.461   0.629 / 0.473
    ==============================  ==============  ==============  ==============

    Attribution: |gradient x input| of the score. Cost: one pass to score; a training batch of n rows is 6n rows
    through the encoder and 4n x 4n cosines.
    Trains some six times as long as the autoencoder without labels (docs/results/speed.md).
    Fails when: normal rows surround abnormal ones: the distance has one centre, the class head is linear in z.
    """

    name = "contrastive"
    Config = ContrastiveConfig
    config: ContrastiveConfig
    uses_labels = True

    def items(self) -> tuple[Item, ...]:
        """Encoder (two layers), projection head (two), class head (one), and the comoments of the embedding."""
        size = self.config
        layers = {
            "encoder.0": (self.width, size.hidden),
            "encoder.1": (size.hidden, size.embedding),
            "projection.0": (size.embedding, size.embedding),
            "projection.1": (size.embedding, size.projection),
            "class": (size.embedding, 1),
        }
        weights = (item for name, (a, b) in layers.items() for item in dense_items(name, a, b))
        return (*weights, Item(NORMAL, (size.embedding,), "comoments", "under_candidate"))

    def embed(self, weights: Weights, x: torch.Tensor) -> torch.Tensor:
        """The encoder's output: (n, width) -> (n, embedding)."""
        return dense(weights, "encoder.1", elu(dense(weights, "encoder.0", x)))

    def raw_score(self, weights: Weights, statistics: Statistics, x: torch.Tensor) -> torch.Tensor:
        """Distance to the normal embeddings plus -log(1 - p); the latter alone before the first vote."""
        import torch

        z = self.embed(weights, x)
        abnormal = torch.nn.functional.softplus(dense(weights, "class", z).squeeze(1))  # -log(1 - p), (n,)
        if NORMAL not in statistics:
            return abnormal
        mean, white = whitening(statistics, NORMAL, self._ridge(statistics))
        squares = ((z - mean) @ white.t()).square()
        return squares.mean(dim=1).clamp(min=SMALLEST).sqrt() + abnormal

    def prepare(self, statistics: Statistics) -> Statistics:
        """With the whitening matrix, so that not every call inverts the covariance."""
        return prepared(statistics, NORMAL, self._ridge(statistics)) if NORMAL in statistics else statistics

    def _ridge(self, statistics: Statistics) -> float:
        return self.config.ridge * max(float(statistics[NORMAL][1].diagonal().mean()), SMALLEST_VARIANCE)

    def loss(self, weights: Weights, x: torch.Tensor, y: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """L_contrast on two views of a class-balanced batch + lambda1 * L_class on its rows as they are.

        Labelled rows of one class are positives of each other; a row without a label has only its own other view.
        To every normal row the batch gets an abnormal one: half of them labelled ones, drawn with replacement,
        half corrupted copies; all corrupted where there is no label. Without a normal row there is no class to
        tell apart: the contrastive term alone is left, between the views of each row.
        """
        import torch

        rows, groups, target = self._balanced(x, y, generator)
        settings = (self.config.changed_share, self.config.jitter, generator)
        views = torch.cat([view(rows, *settings), view(rows, *settings), rows])
        embedded = self.embed(weights, views)  # (3m, embedding)
        pairs, plain = embedded[: 2 * len(rows)], embedded[2 * len(rows) :]
        projected = dense(weights, "projection.1", elu(dense(weights, "projection.0", pairs)))
        contrast = contrastive_loss(projected, groups.repeat(2), self.config.temperature)
        logit = dense(weights, "class", plain).squeeze(1)
        if not target.any():
            return contrast + logit.sum() * 0
        classes = torch.nn.functional.binary_cross_entropy_with_logits(logit, target)
        return contrast + self.config.class_weight * classes

    def _balanced(
        self, x: torch.Tensor, y: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Rows (m, width), their groups for the contrastive loss (m,) and their classes (m,), 0 or 1."""
        import torch

        abnormal = y == 1
        normal, labelled = x[~abnormal], x[abnormal]
        n = len(normal)
        if not n:
            return x, torch.arange(len(x)), torch.zeros(len(x))
        alone = torch.arange(2, n + 2)  # a group for each row without a label; 0 and 1 are the classes
        groups = alone.where(y[~abnormal].isnan(), 0)
        drawn = labelled[:0]
        if len(labelled):
            drawn = labelled[torch.randint(len(labelled), (n // 2,), generator=generator)]
        copies = corrupted(normal, self.config.corrupted_share, generator)[len(drawn) :]
        target = torch.cat([x.new_zeros(n), x.new_ones(n)])
        return torch.cat([normal, drawn, copies]), torch.cat([groups, torch.ones_like(groups)]), target

    def attribute(self, weights: Weights, statistics: Statistics, x: torch.Tensor) -> torch.Tensor:
        """|d score / d x * x| per column."""
        import torch

        with torch.enable_grad():
            rows = x.detach().clone().requires_grad_(True)
            (gradient,) = torch.autograd.grad(self.raw_score(weights, statistics, rows).sum(), rows)
        return (gradient * x).abs()

    def observe(self, weights: Weights, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """The embeddings."""
        return {NORMAL: self.embed(weights, x)}
