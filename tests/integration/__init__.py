"""Integration of Streamgauge."""
