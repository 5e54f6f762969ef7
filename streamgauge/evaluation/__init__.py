"""Metrics and seeded corruptions, shared by votes, benchmarks and the demo."""
