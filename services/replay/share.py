"""Which share of all is sent, told from the row it came to and from how many rows the files hold."""

from __future__ import annotations

from dataclasses import dataclass

from services.replay.options import ReplayOptions


@dataclass
class Passed:
    """What was read, whether it is sent or not.

    Attributes:
        size_bytes: on disk.
        rows: in them.
    """

    size_bytes: int = 0
    rows: int = 0

    def moved(self, size_bytes: int) -> None:
        """Note bytes on disk, once the rows in them are noted."""
        self.size_bytes += size_bytes


class Extent:
    """How many rows there are to send: counted where a stop row is given, else judged by the part that was read.

    Args:
        size_bytes: of all files on disk.
        options: rows, loops, bursts.
        passed: what was read so far; another thread may add to it.
    """

    def __init__(self, size_bytes: int, options: ReplayOptions, passed: Passed) -> None:
        self._size_bytes, self._options, self._passed = size_bytes, options, passed

    def share(self, row: int) -> float | None:
        """The share that lies before a row, over all loops; None where it never ends, or nothing was read."""
        total = self._rows()
        return min(1.0, row / total) if total and total > 0 else None

    def _rows(self) -> float | None:
        options = self._options
        if not options.loops:
            return None
        if options.stop_row is not None:
            return float((options.stop_row - options.start_row) * options.loops)
        if options.bursts or not self._passed.size_bytes:
            return None
        held = self._passed.rows * self._size_bytes / self._passed.size_bytes
        return (held - options.start_row) * options.loops
