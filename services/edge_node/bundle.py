"""The bundle: everything that decides a score, frozen, swapped as one."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.runtime.atomic import write_atomic
from services.runtime.tensorfile import dump_tensors, load_tensors
from streamgauge.calibration.threshold import Threshold
from streamgauge.detectors import DETECTORS, Detector
from streamgauge.errors import StateError
from streamgauge.features import FeatureSchema
from streamgauge.state import ModelState


@dataclass(frozen=True)
class BundleInfo:
    """Where a bundle comes from.

    Attributes:
        detector: name in the registry.
        detector_config: its hyper-parameters.
        schema_hash: of the feature schema it was made for.
        release_seq: the release; 0 for a bundle made by hand.
        threshold: raw score of the alarm line and how it was found; None while it must not raise alerts.
    """

    detector: str
    detector_config: dict[str, Any]
    schema_hash: str
    release_seq: int
    threshold: Threshold | None


@dataclass(frozen=True)
class Bundle:
    """Weights, frozen scaler, statistics and calibration; `bundle_id` hashes them."""

    info: BundleInfo
    model: ModelState

    @property
    def bundle_id(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the bundle's bytes."""
        return hashlib.sha256(self.to_bytes()).hexdigest()[:16]

    def make_detector(self, schema: FeatureSchema) -> Detector:
        """The detector, checked against the schema.

        Raises:
            StateError: the bundle was made for another schema.
        """
        if self.info.schema_hash != schema.hash:
            raise StateError(
                f"the bundle was made for schema {self.info.schema_hash[:12]}, the profile has "
                f"{schema.hash[:12]}; use the profile it was trained with"
            )
        return DETECTORS[self.info.detector](schema.width, self.info.detector_config)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays under ``weights/``, ``moments/`` and ``statistics/``."""
        parts = {"weights": self.model.weights, "moments": self.model.moments, "statistics": self.model.statistics}
        return {f"{part}/{name}": array for part, arrays in parts.items() for name, array in arrays.items()}

    def to_bytes(self) -> bytes:
        """As one safetensors file; equal bundles give equal bytes."""
        return dump_tensors(asdict(self.info), self.to_arrays())

    @classmethod
    def from_parts(cls, info: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Bundle:
        """The inverse of `to_arrays` and the plain form of `info`."""
        parts: dict[str, dict[str, NDArray[Any]]] = {"weights": {}, "moments": {}, "statistics": {}}
        for name, array in arrays.items():
            part, _, rest = name.partition("/")
            parts[part][rest] = array
        threshold = Threshold.of(info["threshold"]) if info["threshold"] else None
        return cls(BundleInfo(**{**info, "threshold": threshold}), ModelState(**parts))

    def save(self, path: Path) -> None:
        """Write atomically."""
        write_atomic(path, self.to_bytes())

    @classmethod
    def load(cls, path: Path) -> Bundle:
        """Read a bundle file.

        Raises:
            StateError: not a bundle, or damaged.
        """
        try:
            info, arrays = load_tensors(path.read_bytes())
            bundle = cls.from_parts(info, arrays)
        except (OSError, KeyError, TypeError, AttributeError, StateError) as error:
            raise StateError(f"bundle {path} cannot be read: {error}") from error
        if not all(np.isfinite(array).all() for array in bundle.to_arrays().values()):
            raise StateError(f"bundle {path} has values that are not finite")
        return bundle
