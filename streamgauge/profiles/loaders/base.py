"""The registry of data sets and `load`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamgauge.profiles.loaders.files import SourceFile, source_files
from streamgauge.profiles.loaders.table import Table, concatenated
from streamgauge.profiles.profile import Profile, load_profile
from streamgauge.registry import Registry


@dataclass(frozen=True)
class Dataset:
    """How a data set is read.

    Attributes:
        folder: usual name of its folder among others.
        files: patterns of the files that make the whole data set, each row once; of several groups of patterns the
            first with any file counts.
        read: one file to a table; the profile names the columns. Raises DataError.
        header: a column of the header, which may stand below titles; ``""``: the header is the first line; None:
            there is none, or a broken one that `read` drops. Lines below it can be read a block at a time.
    """

    folder: str
    files: tuple[tuple[str, ...], ...]
    read: Callable[[SourceFile, Profile], Table]
    header: str | None = ""


LOADERS: Registry[Dataset] = Registry("data set", "streamgauge.profiles.loaders")


def load(name: str, directory: str | Path, *, files: Sequence[str] = ()) -> Table:
    """Load a public data set from the files that its owner publishes.

    Args:
        name: a data set of `LOADERS`, which is also its profile's name; ``_`` for ``-`` is accepted.
        directory: the folder that holds the files (plain, ``.gz`` or a tar archive), a folder with the data set's
            own in it, or a single file.
        files: patterns of the files to read instead of the whole data set, e.g. ``["KDDTest+*"]``.

    Returns:
        All rows, files in natural order; the columns are the profile's features and context fields.

    Raises:
        UnknownNameError: no such data set.
        DataError: a file is missing or is not as its owner publishes it; names file, column and value.

    Cost: a second or two for a million cells of ten; needs ``pip install 'streamgauge[data]'``.
    """
    key = name.replace("_", "-")
    dataset = LOADERS[key]
    profile = load_profile(key)
    found = source_files(key, Path(directory), dataset.folder, [files] if files else dataset.files)
    tables = [dataset.read(file, profile) for file in found]
    return concatenated([table for table in tables if len(table)] or tables[:1])
