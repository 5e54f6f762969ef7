"""What Linux knows of a process: CPU time, memory, children."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.speed.site import Service


def children(pid: int) -> list[int]:
    """Process ids of its children."""
    lists = (path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children"))
    return [int(child) for text in lists for child in text.split()]


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def trainer_seconds(node: Service) -> float:
    """CPU time of the node's trainer."""
    return sum(map(cpu_seconds, children(node.child.pid)))


def busy(node: Service) -> float:
    """Share of a second that the trainer works now."""
    before = trainer_seconds(node)
    time.sleep(1.0)
    return trainer_seconds(node) - before


def resident(pid: int) -> int:
    """Bytes in use; 0 if it has ended."""
    path = Path(f"/proc/{pid}/status")
    text = path.read_text() if path.exists() else ""
    return next((int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("VmRSS:")), 0)
