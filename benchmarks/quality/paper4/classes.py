"""NSL-KDD in the paper's five classes: normal, DoS, Probe, R2L, U2R."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.columns import ACCURACY, prefixed
from benchmarks.quality.paper4.data import TEST, TRAIN, Drawn, Part, drawn, parts_of
from benchmarks.quality.paper4.fits import CLIENTS, EPOCHS, LEARNING
from benchmarks.quality.table import Column, Context, Outcome, Protocol, Row, Section
from streamgauge.errors import DataError
from streamgauge.evaluation.baselines.base import Matrix
from streamgauge.evaluation.baselines.federated import train_rounds
from streamgauge.evaluation.baselines.networks import CHUNK, NetworkConfig, initialise
from streamgauge.evaluation.baselines.recurrent import STEPS, reader

CLASSES = ("normal", "DoS", "Probe", "R2L", "U2R")
TYPES: Mapping[str, str] = {
    "DoS": "back land neptune pod smurf teardrop apache2 mailbomb processtable udpstorm",
    "Probe": "ipsweep nmap portsweep satan mscan saint",
    "R2L": (
        "ftp_write guess_passwd imap multihop phf spy warezclient warezmaster httptunnel named sendmail "
        "snmpgetattack snmpguess worm xlock xsnoop"
    ),
    "U2R": "buffer_overflow loadmodule perl rootkit ps sqlattack xterm",
}
"""Attack types of each class, those of the test files too, as DARPA's 1998 list of attacks sorts them."""
_CODES = {"normal": 0, **{kind: CLASSES.index(name) for name, kinds in TYPES.items() for kind in kinds.split()}}
Codes = NDArray[np.int64]
Classify = Callable[[Matrix], Codes]


def codes(kinds: NDArray[np.object_]) -> Codes:
    """Class of each attack type, an index into `CLASSES`.

    Raises:
        DataError: a type that is in none.
    """
    if unknown := sorted(set(kinds) - _CODES.keys()):
        raise DataError(f"attack types of no known class: {', '.join(unknown)}; add them to TYPES")
    return np.array([_CODES[kind] for kind in kinds], np.int64)


def five_section() -> Section:
    """Five classes beside the binary main rows."""
    protocol = Protocol(
        "paper",
        f"as network A: {TRAIN:,} to train and {TEST:,} to test from KDDTrain+; official test KDDTest+",
        "all labels of the training records, five classes",
        "the most probable class",
        "none",
        (
            "`lstm_classifier` with five outputs and softmax cross-entropy, otherwise as above",
            "Mean recall: of the five classes, each counts as much; recall of a class whatever it is taken for "
            "if not itself. Always saying normal has a mean recall of 20",
        ),
    )
    columns = (
        ACCURACY,
        Column("mean_recall", "mean recall"),
        prefixed(ACCURACY, "headline", "**accuracy, KDDTest+**"),
        Column("headline_mean_recall", "mean recall, KDDTest+"),
        *(Column(f"headline_recall_{name}", f"{name}, KDDTest+") for name in CLASSES),
        Column("headline_normal_share", 'accuracy of "always normal", KDDTest+'),
    )
    settings = {**LEARNING, "train": TRAIN, "test": TEST, "classes": len(CLASSES)}
    rows = (
        Row("five-federated-lstm", f"LSTM, federated over {CLIENTS} clients", _run(_lstm(CLIENTS)), settings),
        Row("five-lstm", "LSTM, central", _run(_lstm(1)), settings),
        Row("five-trees", "gradient-boosted trees, central", _run(_trees), {"train": TRAIN, "test": TEST}),
    )
    return Section("NSL-KDD, five classes", protocol, columns, rows)


def _run(fit: Callable[[Drawn, int], Classify]) -> Callable[[Context], Outcome]:
    def run(context: Context) -> Outcome:
        data = drawn("nsl", context.data, context.seed)
        classify = fit(data, context.seed)
        figures = recalls(classify, data.test)
        assert data.headline
        later = recalls(classify, data.headline)
        return Outcome({**figures, **{f"headline_{name}": value for name, value in later.items()}})

    return run


def recalls(classify: Classify, rows: Part) -> dict[str, float]:
    """Accuracy, recall of each class that occurs, their mean, and the share of normal rows."""
    truth, called = codes(rows.kinds), classify(rows.x)
    found = {
        f"recall_{name}": float((called[truth == i] == i).mean())
        for i, name in enumerate(CLASSES)
        if (truth == i).any()
    }
    mean = float(np.mean(list(found.values())))
    right = float((called == truth).mean())
    return {"accuracy": right, "mean_recall": mean, **found, "normal_share": float((truth == 0).mean())}


def _lstm(clients: int) -> Callable[[Drawn, int], Classify]:
    def fit(data: Drawn, seed: int) -> Classify:
        import torch

        config = replace(NetworkConfig(**LEARNING), epochs=1)
        size = -(-data.train.x.shape[1] // STEPS)
        fill = torch.nn.ConstantPad1d((0, STEPS * size - data.train.x.shape[1]), 0.0)
        network = torch.nn.Sequential(fill, reader(torch.nn.LSTM, size, config.units, len(CLASSES)))
        initialise(network, seed)
        copies = [deepcopy(network) for _ in range(clients)]
        parts = [(part.x, codes(part.kinds)) for part in parts_of(data.train, clients, seed)]
        shared = copies if clients > 1 else []
        loss = torch.nn.functional.cross_entropy
        train_rounds(copies, shared, parts, config, EPOCHS, seed, loss=loss)

        def classify(x: Matrix) -> Codes:
            with torch.inference_mode():
                parts = [copies[0](torch.tensor(x[i : i + CHUNK])).argmax(1) for i in range(0, len(x), CHUNK)]
            return np.asarray(torch.cat(parts).numpy(), np.int64)

        return classify

    return fit


def _trees(data: Drawn, seed: int) -> Classify:
    from sklearn.ensemble import HistGradientBoostingClassifier

    trees: Any = HistGradientBoostingClassifier(max_iter=60, early_stopping=False, random_state=seed)
    trees.fit(data.train.x, codes(data.train.kinds))
    return lambda x: np.asarray(trees.predict(x), np.int64)
