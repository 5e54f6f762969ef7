"""Chaos of Streamgauge."""
