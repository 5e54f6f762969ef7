"""`streamgauge plant`: simulated plants as a live stream, to a Kafka topic or a file; attacks on command."""
