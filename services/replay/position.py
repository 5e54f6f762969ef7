"""How far a replay came, kept in a small file so that an interrupted one goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from services.replay.options import ReplayOptions
from services.runtime.atomic import write_atomic
from streamgauge.errors import ConfigurationError
from streamgauge.profiles.loaders.inputs import Input


@dataclass(frozen=True)
class Position:
    """Where to go on.

    Attributes:
        row: the first row, over all loops, that was not acknowledged.
        loop: the loop it is in, from 0.
        loop_row: number of that loop's first row.
        shift_s: what is added to the data's own times in that loop; None: not known yet.
    """

    row: int = 0
    loop: int = 0
    loop_row: int = 0
    shift_s: float | None = None


def fingerprint(options: ReplayOptions, inputs: Sequence[Input]) -> str:
    """What must be the same for a position to mean anything: files and what is sent of them, not how fast."""
    kept = replace(options, rate=None, speed=None, unpaced=False)
    files = [(each.name, each.size_bytes) for each in inputs]
    return hashlib.sha256(repr((kept, files)).encode()).hexdigest()


class PositionFile:
    """The file of `--resume`.

    Args:
        path: of the file.
        of: the replay's fingerprint.
    """

    def __init__(self, path: Path, of: str) -> None:
        self._path, self._of = path, of

    def read(self) -> Position:
        """The position to go on from; the beginning where there is no file.

        Raises:
            ConfigurationError: the file is of another replay, or none of ours.
        """
        kept = self._read()
        return Position() if kept is None else kept[0]

    def all_sent(self) -> bool:
        """Whether the file says that the replay came to its end. Raises as `read`."""
        kept = self._read()
        return kept is not None and kept[1]

    def _read(self) -> tuple[Position, bool] | None:
        """The position, and whether it is the end; None where there is no file."""
        if not self._path.exists():
            return None
        try:
            kept = json.loads(self._path.read_text("utf-8"))
            of, position, done = kept["of"], Position(**kept["position"]), bool(kept.get("done", False))
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"--resume {self._path}: is no position of a replay: {error}") from error
        if of != self._of:
            raise ConfigurationError(
                f"--resume {self._path}: is the position of other files or options; delete it to begin anew"
            )
        return position, done

    def write(self, position: Position, *, done: bool = False) -> None:
        """Replace the file; `done`: all was sent, so that the same command sends nothing twice."""
        kept = {"of": self._of, "position": asdict(position), "done": done}
        write_atomic(self._path, json.dumps(kept).encode() + b"\n", 0o644)
