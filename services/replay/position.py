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
        if not self._path.exists():
            return Position()
        try:
            kept = json.loads(self._path.read_text("utf-8"))
            of, position = kept["of"], Position(**kept["position"])
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"--resume {self._path}: is no position of a replay: {error}") from error
        if of != self._of:
            raise ConfigurationError(
                f"--resume {self._path}: is the position of other files or options; delete it to begin anew"
            )
        return position

    def write(self, position: Position) -> None:
        """Replace the file."""
        write_atomic(
            self._path, json.dumps({"of": self._of, "position": asdict(position)}).encode() + b"\n", 0o644
        )

    def done(self) -> None:
        """Remove the file: all was sent."""
        self._path.unlink(missing_ok=True)
