"""The files of a data set: plain, compressed or in a tar archive, in natural order."""

from __future__ import annotations

import gzip
import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from streamgauge.errors import DataError

_ARCHIVES = (".tar", ".tar.xz", ".tar.gz", ".tgz")
_COMPRESSED = (".gz", ".xz")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file, or a block of one.

    Attributes:
        name: below the directory or in its archive, without ``.gz`` or ``.xz``.
        data: its unpacked bytes.
        rows: an Arrow record batch in place of the bytes, of a Parquet file; None: it is text.
        skipped: lines of the file between the header and the other lines of a block.
    """

    name: str
    data: bytes
    rows: Any = None
    skipped: int = 0


def source_files(name: str, directory: Path, folder: str, groups: Sequence[Sequence[str]]) -> Iterator[SourceFile]:
    """The files that match one of the patterns of the first group that any file matches, read one by one.

    Archives are opened only where no plain file matches.

    Args:
        name: the data set, for messages.
        directory: the folder with the files, a folder with `folder` in it, or one file.
        folder: usual name of the data set's own folder.
        groups: shell patterns of the path below the folder or of the file's own name, without ``.gz`` or ``.xz``;
            capital letters do not matter.
    Raises:
        DataError: no such folder, no file matches, or one cannot be unpacked.
    """
    if directory.is_file():
        yield from _unpacked(directory, directory.name, ("*",))
        return
    root = directory / folder if (directory / folder).is_dir() else directory
    if not root.is_dir():
        raise DataError(f"{name}: {directory} is no folder; give the one that holds the files, or {folder!r}")
    found = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    for of_kind in (_is_plain, is_archive):
        for patterns in groups:
            files = _matching(sorted(filter(of_kind, found), key=natural_order), root, patterns)
            if first := next(files, None):
                yield first
                yield from files
                return
    patterns = [pattern for group in groups for pattern in group]
    raise DataError(
        f"{name}: {root} holds no file like {' or '.join(patterns)} (plain, .gz or .xz), "
        f"but {', '.join(sorted(found)[:5]) or 'nothing'}"
    )


def is_archive(name: str) -> bool:
    """Whether a file is a tar archive, by its name."""
    return name.lower().endswith(_ARCHIVES)


def plain_name(name: str) -> str:
    """A file's name without the ending of its compression.

    >>> plain_name("KDDTest+.txt.gz")
    'KDDTest+.txt'
    """
    return name[:-3] if name.lower().endswith(_COMPRESSED) else name


def _is_plain(name: str) -> bool:
    return not is_archive(name)


def _matching(names: Sequence[str], root: Path, patterns: Sequence[str]) -> Iterator[SourceFile]:
    for name in names:
        if is_archive(name) or matches(plain_name(name), patterns):
            yield from _unpacked(root / name, name, patterns)


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name without the ending of its compression, or its last part, has one of the shell patterns."""
    lower = name.lower()
    return any(
        fnmatch(lower, pattern.lower()) or fnmatch(lower.rpartition("/")[2], pattern.lower())
        for pattern in patterns
    )


def natural_order(name: str) -> list[tuple[int, str]]:
    """``2.csv`` before ``10.csv``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name.lower())]


def _unpacked(path: Path, name: str, patterns: Sequence[str]) -> Iterator[SourceFile]:
    try:
        if is_archive(name):
            yield from _members(path, patterns)
        else:
            yield SourceFile(plain_name(name), _unpack(path))
    except (EOFError, OSError, lzma.LZMAError, tarfile.TarError, zlib.error) as error:
        raise DataError(f"file {path}: cannot be read or unpacked: {error}; fetch it again") from error


def _unpack(path: Path) -> bytes:
    data, kind = path.read_bytes(), path.suffix.lower()
    if kind == ".xz":
        return lzma.decompress(data)
    return gzip.decompress(data) if kind in (".gz", ".tgz") else data


def _members(path: Path, patterns: Sequence[str]) -> Iterator[SourceFile]:
    """Members in natural order, in memory only. Unpacked as a whole first: tarfile overlooks a cut-off end."""
    data, members = _unpack(path), []
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for member in archive:
            member_name = member.name.removeprefix("./")
            if member.isfile() and matches(member_name, patterns) and (file := archive.extractfile(member)):
                members.append(SourceFile(member_name, file.read()))
    yield from sorted(members, key=lambda file: natural_order(file.name))
