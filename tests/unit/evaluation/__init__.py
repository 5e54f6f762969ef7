"""Tests of streamgauge.evaluation."""
