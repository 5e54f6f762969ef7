"""Whose messages a service believes: the pinned aggregator's and those of enrolled nodes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from services.runtime.errors import SettingsError
from services.runtime.logging import get_logger
from services.runtime.signing import VerifyKey, load_verify_key, load_verify_keys

CHECK_INTERVAL_S = 1.0

_log = get_logger("runtime.trust")


def pinned(name: str, key_file: Path | None) -> Callable[[], Mapping[str, VerifyKey] | None]:
    """Trust one sender by its public key; without a file signatures are not checked.

    Raises:
        SettingsError: the file is not a public key.
    """
    keys = {name: load_verify_key(key_file)} if key_file is not None else None
    return lambda: keys


class EnrolledKeys:
    """Trust all keys of a directory; keys enrolled later count within a second, without a restart.

    Args:
        directory: holds ``<name>.pub`` files; None: signatures are not checked.

    Raises:
        SettingsError: the directory is missing or a file in it is not a key.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._changed_at = _changed_at(directory)
        self._keys = load_verify_keys(directory) if directory is not None else None
        self._look_again_at = time.monotonic() + CHECK_INTERVAL_S

    def __call__(self) -> Mapping[str, VerifyKey] | None:
        """The keys as of now."""
        if self._directory is not None and time.monotonic() >= self._look_again_at:
            self._look_again_at = time.monotonic() + CHECK_INTERVAL_S
            self._reload(self._directory)
        return self._keys

    def _reload(self, directory: Path) -> None:
        changed_at = _changed_at(directory)
        if changed_at == self._changed_at:
            return
        try:
            self._keys = load_verify_keys(directory)
        except SettingsError as error:
            # A key being copied by hand is half there for a moment: the old keys count until it is whole.
            _log.warning("enrolled keys cannot be read; using the former ones", why=str(error))
            return
        self._changed_at = changed_at


def _changed_at(directory: Path | None) -> tuple[tuple[str, int], ...]:
    if directory is None or not directory.is_dir():
        return ()
    return tuple(sorted((path.name, path.stat().st_mtime_ns) for path in directory.glob("*.pub")))
