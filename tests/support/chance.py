"""Randomness of the kill suites: seeded by the variable SEED, else by the clock's noise, and always printed."""

from __future__ import annotations

import os
import random


def seeded(name: str) -> random.Random:
    """A generator for a test; prints the line that repeats it."""
    seed = int(os.environ.get("SEED") or int.from_bytes(os.urandom(4), "big"))
    print(f"{name}: SEED={seed}")
    return random.Random(f"{name}-{seed}")


def kills_wanted() -> int:
    """Kills a service in the long suites; the variable KILLS makes them shorter to try them out."""
    return int(os.environ.get("KILLS") or 100)
