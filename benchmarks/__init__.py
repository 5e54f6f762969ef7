"""Benchmarks of Streamgauge."""
