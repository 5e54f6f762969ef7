"""Unit of Streamgauge."""
