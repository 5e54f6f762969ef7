"""Tests of Streamgauge."""
