"""What the paper leaves optional or vague, with and without: outliers, scaling, clients a round, warm start."""

from __future__ import annotations

from benchmarks.quality.paper4.data import RESERVED, TEST, TRAIN
from benchmarks.quality.paper4.fits import CLIENTS, LEARNING, WARM, WARM_EPOCHS, in_rounds
from benchmarks.quality.paper4.preparing import QUANTILES, Preparation
from benchmarks.quality.paper4.rows import COLUMNS, HEADLINE, row
from benchmarks.quality.table import Column, Comparison, Protocol, Row, Section

PARTICIPANTS = 3
L2 = 1e-4
PREPARATIONS: tuple[tuple[Preparation, str], ...] = (
    ("standardised-clipped", "log1p, standardised; clipped to quantiles"),
    ("min-max", "raw counts, min-max; not clipped"),
    ("min-max-clipped", "raw counts, min-max; clipped to quantiles (the paper's way)"),
)
BASE = "log1p, standardised; not clipped; all clients, cold start (row of network A)"


def variants_section() -> Section:
    """The federated LSTM on NSL-KDD with one thing changed at a time."""
    low, high = (f"{100 * value:g}" for value in QUANTILES)
    protocol = Protocol(
        "paper",
        f"as network A: {TRAIN:,} to train and {TEST:,} to test from KDDTrain+; official test KDDTest+",
        "all labels of the training records",
        "probability 0.5",
        "none",
        (
            f"Clipping: numeric columns are moved to the {low} % and {high} % quantiles of the training rows (the "
            "paper: relocation of outliers; it names no quantiles). A flag that is set more rarely than that is "
            "clipped away. Standardised values are held within 5 standard deviations in any case",
            f"Warm start: {WARM_EPOCHS} epochs on {WARM:,} of the {RESERVED:,} reserved records, which stand for "
            "the paper's public data sets",
            "Not here: differential privacy and encryption of the updates, which the paper names without a figure",
        ),
    )
    learn = in_rounds("lstm_classifier", LEARNING)
    rows: list[Row] = [
        row("variants", "standardised", BASE, learn, LEARNING, network="nsl"),
        *(
            row("variants", name, label, learn, LEARNING, preparation=name, network="nsl")
            for name, label in PREPARATIONS
        ),
        row(
            "variants",
            "subset",
            f"{PARTICIPANTS} of {CLIENTS} clients drawn each round",
            in_rounds("lstm_classifier", LEARNING, participants=PARTICIPANTS),
            {**LEARNING, "participants": PARTICIPANTS},
            network="nsl",
        ),
        row(
            "variants",
            "warm",
            "warm start of the global model",
            in_rounds("lstm_classifier", LEARNING, warm=True),
            {**LEARNING, "warm": [WARM, WARM_EPOCHS]},
            network="nsl",
        ),
        row(
            "variants",
            "l2",
            f"L2 term of {L2:g} (equation 3's h)",
            in_rounds("lstm_classifier", {**LEARNING, "l2": L2}),
            {**LEARNING, "l2": L2},
            network="nsl",
        ),
    ]
    columns: tuple[Column, ...] = (*COLUMNS, *HEADLINE)
    pairs = (
        ("standardised-clipped", "standardised"),
        ("min-max-clipped", "min-max"),
        ("min-max-clipped", "standardised"),
        ("subset", "standardised"),
        ("warm", "standardised"),
        ("l2", "standardised"),
    )
    comparisons = tuple(
        Comparison(f"variants-{one}", f"variants-{other}", figure)
        for one, other in pairs
        for figure in ("accuracy", "headline_accuracy")
    )
    return Section("Federated LSTM on NSL-KDD: with and without", protocol, columns, tuple(rows), (), comparisons)
