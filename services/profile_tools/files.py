"""Files of unknown records for `streamgauge profile`: JSON lines, CSV or Parquet, plain, packed or in a folder."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, time
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from streamgauge.errors import ConfigurationError, DataError
from streamgauge.profiles.loaders.arrow_columns import MISSING
from streamgauge.profiles.loaders.csv_file import BOM, check_kind, decoded
from streamgauge.profiles.loaders.files import SourceFile
from streamgauge.profiles.loaders.inputs import ANY, Input, find_inputs, open_input
from streamgauge.profiles.seen import MOST_CODES, MOSTLY

_WHOLE = re.compile(r"[+-]?(0|[1-9]\d{0,17})")
_NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)?(\.\d*)?([eE][+-]?\d+)?(?<=\d)|[+-]?(0|[1-9]\d*)\.")  # 007 is a name
_NO_NUMBER = {"inf", "-inf", "+inf", "infinity", "-infinity", "+infinity"}
_JSON = (("*.json", "*.jsonl", "*.ndjson", "*.log"),)


@dataclass(frozen=True)
class Line:
    """A record of a file, whose name and age stand for key and timestamp; its offset counts from 1."""

    value: bytes | None
    offset: int
    key: bytes | None = None
    timestamp: int = -1


@dataclass(frozen=True)
class FileRecords:
    """The first records of a file, and what a person should know of it."""

    records: list[Line]
    notes: list[str]


def from_file(source: str, limit: int, numeric: Collection[str] | None = None) -> FileRecords:
    """The first records of a file, of the first file of a folder or pattern, or of the first in an archive.

    Args:
        source: path, folder or pattern.
        limit: most records.
        numeric: columns of a CSV that are to hold numbers, however many of their cells do not; None: those of
            which nearly all cells do.
    Raises:
        ConfigurationError: there is no such file.
        DataError: it cannot be read, is of another kind, has no line of names, or holds nothing.
    """
    with TemporaryDirectory(prefix="streamgauge-profile-") as unpacked:
        each, *more = find_inputs([source], [*ANY, *_JSON], "", Path(unpacked))
        notes = [f"the first of {len(more) + 1} files: {each.name}"] if more else []
        with open_input(each) as (stream, _):
            found = (
                _parquet(each, stream, limit) if each.is_parquet else _text(each, stream, limit, notes, numeric)
            )
        age = int(each.path.stat().st_mtime * 1000)
    if not found:
        raise DataError(f"file {each.name}: no records; it holds JSON lines, or a CSV with a header")
    key = Path(each.name).name.encode()
    return FileRecords([replace(line, key=key, timestamp=age) for line in found], notes)


def _text(
    each: Input, stream: IO[bytes], limit: int, notes: list[str], numeric: Collection[str] | None
) -> list[Line]:
    first = b""
    before = 0  # lines above the first that is not empty
    for line in stream:
        first = line.removeprefix(BOM)
        if first.strip():
            break
        before += 1
    check_kind(SourceFile(each.name, first))
    if b"\0" in first:
        raise DataError(f"file {each.name}: is binary; it must hold JSON lines, or a CSV with a header")
    begin = first.strip()
    if begin.startswith(b"[") or begin == b"{":
        raise DataError(
            f"file {each.name}: holds {'a JSON array' if begin.startswith(b'[') else 'JSON over several lines'}; "
            "write one object a line, for instance with `jq -c`"
        )
    lines = _rejoined(first, stream)
    if begin.startswith(b"{"):
        numbered = ((n, line) for n, line in enumerate(lines, before + 1) if line.strip())
        return [Line(line.strip().encode(), n) for n, line in islice(numbered, limit)]
    try:
        return _csv(each.name, lines, first, limit, notes, numeric)
    except csv.Error as error:
        raise DataError(f"file {each.name}: cannot be read as CSV: {error}") from error


def _rejoined(first: bytes, rest: IO[bytes]) -> Iterator[str]:
    yield decoded(first)
    for line in rest:
        yield decoded(line)


def _csv(
    name: str, lines: Iterator[str], first: bytes, limit: int, notes: list[str], known: Collection[str] | None
) -> list[Line]:
    delimiter = ";" if first.count(b";") > first.count(b",") else ","
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    header = [cell.strip() for cell in next(reader)]
    rows: list[tuple[int, list[str]]] = []
    for row in reader:
        if row:
            rows.append((reader.line_num, [cell.strip() for cell in row]))
        if len(rows) >= limit:
            break
    if not rows:
        return []
    numeric = [j for j in range(len(header)) if _is_numeric(_column(rows, j), delimiter, known is None)]
    _check_header(name, header, numeric, rows)
    notes += _notes(header, rows)
    places = {
        column: j for j, column in reversed(list(enumerate(header)))
    }  # the first of equal names, as replays do
    are_numbers = {*numeric, *(j for column, j in places.items() if column in (known or ()))}
    names = [(column, j, j in are_numbers) for column, j in sorted(places.items(), key=lambda each: each[1])]
    found = []
    for number, row in rows:
        cells = {c: _cell(row[j], is_number, delimiter) for c, j, is_number in names if j < len(row)}
        found.append(Line(json.dumps(cells).encode(), number))
    return found


def _column(rows: Sequence[tuple[int, list[str]]], j: int) -> list[str]:
    return [row[j] for _, row in rows if j < len(row)]


def _is_numeric(cells: Sequence[str], delimiter: str, mostly: bool) -> bool:
    """Whether a column holds numbers, some of them missing or infinite; or mostly, more than codes."""
    there = [c for c in cells if c not in MISSING and c.lower() not in _NO_NUMBER]
    numbers = [c for c in there if _NUMBER.fullmatch(_pointed(c, delimiter))]
    if mostly and len(numbers) >= MOSTLY * len(there) and len(set(numbers)) > MOST_CODES:
        return True
    return bool(there) and len(numbers) == len(there)


def _pointed(cell: str, delimiter: str) -> str:
    return cell.replace(",", ".") if delimiter == ";" else cell


def _check_header(
    name: str, header: Sequence[str], numeric: Sequence[int], rows: Sequence[tuple[int, list[str]]]
) -> None:
    if len(header) == 1 and re.search(r"[\t|]|\S {2,}\S", header[0]):
        raise DataError(
            f"file {name}: one column only ({header[0][:60]!r}); columns are separated by , or ; save it so"
        )
    as_data = [j for j in numeric if _NUMBER.fullmatch(header[j])]
    repeated = sum(cell in set(_column(rows, j)) for j, cell in enumerate(header))
    if (numeric and len(as_data) == len(numeric)) or (not numeric and repeated > len(header) / 2):
        shown = ", ".join(header[:6]) + (", ..." if len(header) > 6 else "")
        raise DataError(
            f"file {name}: its first line is data, not the columns' names: {shown}; put a line with a name for "
            f"each of the {len(header)} columns above it. (`streamgauge replay` and `backtest` read the files of "
            "bundled data sets as they are.)"
        )


def _notes(header: Sequence[str], rows: Sequence[tuple[int, list[str]]]) -> Iterator[str]:
    for column, n in Counter(header).items():
        if n > 1:
            yield f"column {column!r} stands {n} times: the first one counts, as in a replay"
    odd = [number for number, row in rows if len(row) != len(header)]
    if odd:
        yield (
            f"{len(odd)} of {len(rows)} lines have more or fewer cells than the header's {len(header)}, "
            f"e.g. line {odd[0]}"
        )


def _cell(text: str, is_number: bool, delimiter: str) -> Any:
    if not is_number:
        return text or None
    if text in MISSING or text.lower() in _NO_NUMBER:
        return None
    number = _pointed(text, delimiter)
    if _WHOLE.fullmatch(number):
        return int(number)
    if not _NUMBER.fullmatch(number):
        return text  # one odd cell makes no text of the others
    return float(number) if math.isfinite(float(number)) else None


def _parquet(each: Input, stream: IO[bytes], limit: int) -> list[Line]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise ConfigurationError("reading Parquet needs pyarrow; pip install 'streamgauge[data]'") from error
    try:
        file = parquet.ParquetFile(stream if stream.seekable() else io.BytesIO(stream.read()))
        batch = next(file.iter_batches(limit), None)
    except pa.ArrowInvalid as error:
        raise DataError(f"file {each.name}: is no Parquet file ({error})") from None
    rows = batch.to_pylist() if batch is not None else []
    return [Line(json.dumps(row, default=_plain).encode(), n) for n, row in enumerate(rows, 1)]


def _plain(value: Any) -> Any:
    """What JSON has no type for."""
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return float(value)
