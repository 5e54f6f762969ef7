"""Replay: publishes recorded data as a live stream."""
