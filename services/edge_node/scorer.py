"""Scores a whole poll with the bundle in force: torch in inference mode, one thread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from services.edge_node.bundle import Bundle
from streamgauge.detectors.sequence import SequenceDetector
from streamgauge.features import FeatureSchema
from streamgauge.judging import CHUNK, score_rows
from streamgauge.stream.sequences import SequenceStates


class Scorer:
    """A bundle made ready to score.

    Args:
        bundle: with a threshold or without (then records are scored but nothing is abnormal).
        schema: of the profile in use.
    Raises:
        StateError: the bundle was made for another schema.
    """

    def __init__(self, bundle: Bundle, schema: FeatureSchema) -> None:
        torch.set_num_threads(1)  # a second thread raises p99 as soon as another process is busy
        self.bundle = bundle
        self.bundle_id = bundle.bundle_id
        self.detector = bundle.make_detector(schema)
        self._weights, statistics = bundle.model.tensors(self.detector.layout)
        self._statistics = self.detector.prepare(statistics)
        self._scaler = bundle.model.scaler(schema)
        self._groups = schema.groups()

    @property
    def threshold(self) -> float | None:
        """Raw score of the alarm line; None while the bundle must not raise alerts."""
        return self.bundle.info.threshold.value if self.bundle.info.threshold else None

    def raw_scores(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Raw scores (n,) of encoded rows (n, width); the rows are not modified.

        Raises:
            ArithmeticError: a score is not a finite number >= 0; the record that causes it is set aside.
        """
        # Standardised as they are scored, while they are in the processor's cache.
        parts = [
            score_rows(self.detector, self._weights, self._statistics, self._scaler.apply(x[i : i + CHUNK]))
            for i in range(0, len(x), CHUNK)
        ]
        return _checked(np.concatenate(parts) if parts else np.zeros(0))

    def step(
        self, x: NDArray[np.float32], times: NDArray[np.float64], entities: Sequence[str], states: SequenceStates
    ) -> tuple[NDArray[np.float64], NDArray[np.float32] | None]:
        """Raw scores of a partition's next records, and forecasts if the detector makes such.

        Args:
            x: (n, width) encoded rows in log order; not modified.
            times: (n,) event time in seconds.
            entities: n names.
            states: of the partition; stepped on, unless a score or state is not finite. Those of another
                bundle are forgotten.
        Raises:
            ArithmeticError: as `raw_scores`.
        """
        if not isinstance(self.detector, SequenceDetector):
            return self.raw_scores(x), None
        model = self.bundle_id, self._weights, self._statistics
        step = states.step(self.detector, model, self._scaler.apply(x), times, entities)
        scores = _checked(step.scores)
        if not step.finite:
            raise ArithmeticError("the state carried after a record is not finite")
        states.commit(step)
        return scores, step.forecasts

    def explain(self, x: NDArray[np.float32], forecasts: NDArray[np.float32] | None = None) -> NDArray[np.float64]:
        """Share of each feature (numeric, then categorical) in the scores of encoded rows: (n, features).

        The columns of a one-hot feature count together. Rows add up to 1, or are 0 where nothing contributed.
        `forecasts` are those that `step` gave with the rows' scores.
        """
        with torch.inference_mode(False):
            rows = torch.from_numpy(self._scaler.apply(x))
            if forecasts is not None and isinstance(self.detector, SequenceDetector):
                errors = self.detector.compare(rows, torch.from_numpy(forecasts))
                attributed = self.detector.attribute_errors(self._statistics, errors)
            else:
                attributed = self.detector.attribute(self._weights, self._statistics, rows)
            parts = attributed.detach().numpy()
        grouped = np.zeros((len(x), int(self._groups[-1]) + 1))
        np.add.at(grouped.T, self._groups, np.maximum(parts.T.astype(np.float64), 0.0))
        total = grouped.sum(axis=1, keepdims=True)
        shares: NDArray[np.float64] = np.divide(grouped, total, out=np.zeros_like(grouped), where=total > 0)
        return shares


def _checked(raw: NDArray[np.float64]) -> NDArray[np.float64]:
    if not (np.isfinite(raw).all() and (raw >= 0).all()):
        raise ArithmeticError("a raw score is not a finite number >= 0")
    return raw
