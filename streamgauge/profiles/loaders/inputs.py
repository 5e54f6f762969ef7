"""Files to stream: which they are, and how each is opened without being unpacked in memory."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import shutil
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from streamgauge.errors import ConfigurationError, DataError
from streamgauge.profiles.loaders.files import is_archive, matches, natural_order, plain_name

PARQUET = ".parquet"
ANY = (("*.csv", "*.txt"),)
"""Patterns of a folder's files where no data set says which."""


@dataclass(frozen=True, slots=True)
class Input:
    """A file with records.

    Attributes:
        name: its path below what all files have in common, without the ending of its compression.
        path: where it lies; a zip archive where `member` names a file in it.
        member: name in the zip archive.
    """

    name: str
    path: Path
    member: str | None = None

    @property
    def is_parquet(self) -> bool:
        """Whether it is a Parquet file, by its name."""
        return self.name.lower().endswith(PARQUET)

    @property
    def size_bytes(self) -> int:
        """Bytes on disk, packed as they are there."""
        if self.member is None:
            return self.path.stat().st_size
        with zipfile.ZipFile(self.path) as archive:
            return archive.getinfo(self.member).compress_size


def find_inputs(files: Sequence[str], groups: Sequence[Sequence[str]], folder: str, unpacked: Path) -> list[Input]:
    """The files that are meant, in natural order of their names.

    Args:
        files: paths of files, of folders, or shell patterns of paths (``**`` for any depth). A folder stands for
            the files in it that match one of the patterns of the first group that any file matches.
        groups: see `source_files`; a name that ends in ``.parquet`` also matches where ``.csv`` would.
        folder: usual name of the data set's own folder among others.
        unpacked: an empty folder that tar archives are unpacked to; zip archives are read where they are.

    Raises:
        ConfigurationError: nothing is there.
        DataError: a folder holds nothing that matches.
    """
    found: list[Input] = []
    for text in files:
        path = Path(text)
        if path.is_dir():
            found += _in_folder(path / folder if (path / folder).is_dir() else path, groups, unpacked)
        elif path.is_file():
            found += _expanded([path], path.parent, groups, unpacked)
        else:
            root = Path(path.anchor)
            paths = [p for p in root.glob(str(path.relative_to(root))) if p.is_file()]
            if not paths:
                raise ConfigurationError(
                    f"data {text!r}: no such file or folder, and no file matches it as a pattern"
                )
            common = Path(os.path.commonpath([p.parent for p in paths]))
            found += _expanded(sorted(paths, key=lambda p: natural_order(str(p))), common, groups, unpacked)
    return found


def _in_folder(root: Path, groups: Sequence[Sequence[str]], unpacked: Path) -> list[Input]:
    paths = sorted((p for p in root.rglob("*") if p.is_file()), key=lambda p: natural_order(str(p)))
    packed = [p for p in paths if _is_packed(p)]
    for candidates in ([p for p in paths if p not in packed], packed):
        inputs = _expanded(candidates, root, groups, unpacked)
        for patterns in groups:
            if chosen := [each for each in inputs if _fits(each.name, patterns)]:
                return chosen
    wanted = " or ".join(pattern for group in groups for pattern in group)
    raise DataError(
        f"folder {root} holds no file like {wanted} (plain, .gz, .xz, .parquet or in an archive), but "
        f"{', '.join(str(p.relative_to(root)) for p in paths[:5]) or 'nothing'}"
    )


def _is_packed(path: Path) -> bool:
    return is_archive(path.name) or path.suffix.lower() == ".zip"


def _fits(name: str, patterns: Sequence[str]) -> bool:
    if matches(name, patterns):
        return True
    stem = name[: -len(PARQUET)]
    return name.lower().endswith(PARQUET) and any(matches(stem + other, patterns) for other in (".csv", ".txt"))


def _expanded(paths: Sequence[Path], root: Path, groups: Sequence[Sequence[str]], unpacked: Path) -> list[Input]:
    """Archives as the files in them, the others as they are."""
    inputs: list[Input] = []
    for path in paths:
        members: list[Input] | None = None
        if path.suffix.lower() == ".zip":
            with _readable(path), zipfile.ZipFile(path) as archive:
                members = [Input(plain_name(m), path, m) for m in archive.namelist() if not m.endswith("/")]
        elif is_archive(path.name):
            members = _untarred(path, unpacked)
        if members is None:
            inputs.append(Input(plain_name(path.relative_to(root).as_posix()), path))
            continue
        every = [*groups, *ANY, ["*"]]
        chosen = next((c for g in every if (c := [m for m in members if _fits(m.name, g)])), [])
        inputs += sorted(chosen, key=lambda each: natural_order(each.name))
    return inputs


def _untarred(path: Path, unpacked: Path) -> list[Input]:
    """The members of a tar archive, unpacked to disk in constant memory."""
    target = unpacked / f"{len(list(unpacked.iterdir()))}"
    target.mkdir()
    inputs: list[Input] = []
    with _readable(path), tarfile.open(path) as archive:
        # By hand: `filter="data"` came with Python 3.11.4 only, and without it a member may be written anywhere.
        for number, member in enumerate(archive):
            if (content := archive.extractfile(member) if member.isfile() else None) is None:
                continue
            name = "/".join(part for part in PurePosixPath(member.name).parts if part not in ("/", "..", "."))
            file = target / f"{number}{PurePosixPath(name).suffix}"
            with content, file.open("wb") as out:
                shutil.copyfileobj(content, out)
            inputs.append(Input(plain_name(name), file))
    return inputs


@contextmanager
def open_input(each: Input) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """The unpacked bytes as a stream, and the stream on disk below it, whose position tells the progress."""
    with _readable(each.path), each.path.open("rb") as raw:
        ending = (each.member or each.path.name).lower().rpartition(".")[2]
        if each.member is None:
            with _decompressed(raw, ending) as stream:
                yield stream, raw
        else:
            with (
                zipfile.ZipFile(raw) as archive,
                archive.open(each.member) as member,
                _decompressed(member, ending) as stream,
            ):
                yield stream, raw


@contextmanager
def _decompressed(raw: IO[bytes], ending: str) -> Iterator[IO[bytes]]:
    if ending == "gz":
        with gzip.GzipFile(fileobj=raw) as unzipped:
            yield io.BufferedReader(unzipped)
    elif ending == "xz":
        with lzma.LZMAFile(raw) as unpacked:
            yield unpacked
    else:
        yield raw


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise DataError(f"file {path}: cannot be read or unpacked: {error}; fetch it again") from error
