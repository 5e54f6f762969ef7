"""Tests of streamgauge.calibration."""
