"""Backtest: what would have been detected in recorded data; the edge node's chain without Kafka."""
