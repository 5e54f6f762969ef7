"""E2e of Streamgauge."""
