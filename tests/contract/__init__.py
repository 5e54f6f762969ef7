"""Contract of Streamgauge."""
