"""Streamgauge's services: edge node, aggregator, API, replay, and what they share in `services.runtime`."""
