"""Detectors, one a file. `DETECTORS[name]` is the class; drop a file in here to add one."""

from streamgauge.detectors.base import DETECTORS, Detector, Statistics, Weights

__all__ = ["DETECTORS", "Detector", "Statistics", "Weights"]
