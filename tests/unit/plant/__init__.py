"""Tests of streamgauge.plant and services.plant."""
