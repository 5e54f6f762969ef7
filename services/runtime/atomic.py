"""Files that are either the old or the new one, never half of each."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

_UNFINISHED = ".tmp"


def write_atomic(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace `path` by `data` so that a crash or power cut leaves the old or the new content.

    See `replace_atomic`.
    """
    replace_atomic(path, lambda temporary: temporary.write_bytes(data), mode)


def replace_atomic(path: Path, write: Callable[[Path], object], mode: int = 0o600) -> None:
    """Replace `path` by what `write` puts into another file, so that a crash leaves the old or the new content.

    That file lies in the same directory; it is synced, renamed over `path`, and the directory is synced.

    Args:
        path: the file; its directory is made if it is missing.
        write: fills the file that it is given, which exists and is empty.
        mode: permissions of the new file.

    Raises:
        OSError: the disk is full or the directory cannot be written; `path` is then unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_UNFINISHED, dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(mode)
        _sync(temporary, os.O_RDWR)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    # The rename itself is durable only once the directory is.
    _sync(path.parent, os.O_RDONLY | os.O_DIRECTORY)


def remove_unfinished(path: Path) -> None:
    """Remove what processes that were killed while they replaced `path` left; no one may be replacing it now."""
    for left in path.parent.glob(f".{path.name}.*{_UNFINISHED}"):
        left.unlink()


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
