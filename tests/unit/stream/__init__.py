"""Tests of streamgauge.stream."""
