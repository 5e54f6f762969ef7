"""Delimited files as they are published: byte-order marks, blanks, `;`, decimal commas, broken headers."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import ConfigurationError, DataError
from streamgauge.profiles.fields import TimeField
from streamgauge.profiles.loaders.arrow_columns import MISSING, numbers, seconds, texts, typed
from streamgauge.profiles.loaders.csv_errors import in_words
from streamgauge.profiles.loaders.files import SourceFile
from streamgauge.profiles.loaders.table import Column
from streamgauge.profiles.profile import Profile

BOM = b"\xef\xbb\xbf"
_BLOCK_BYTES = 1 << 24


@dataclass(frozen=True)
class CsvText:
    """A file's bytes from its first data line on, and what stands in which column.

    Attributes:
        file: name, for messages.
        data: data lines; UTF-8, or Latin-1 where that fails.
        names: one a column, blanks around taken off; a name may come twice, ``""`` names a column to ignore.
        delimiter: ``,`` or ``;``.
        rows: an Arrow record batch in place of the lines; None: they are text.
        first_line: number of the first data line in the file, from 1.
    """

    file: str
    data: bytes
    names: tuple[str, ...]
    delimiter: str = ","
    rows: Any = None
    first_line: int = 1


def with_header(file: SourceFile, known: str | None = None) -> CsvText:
    """Take the names from the first line, or from the first that has the column `known` (lines above are titles).

    Raises:
        DataError: empty, a workbook, UTF-16, or no line of the first ten has the column.
    """
    if file.rows is not None:
        names = tuple(name.strip() for name in file.rows.schema.names)
        if _has(names, known):
            return CsvText(file.name, b"", names, rows=file.rows)
    check_kind(file)
    rest = file.data.removeprefix(BOM)
    for above in range(10):
        line, _, rest = rest.partition(b"\n")
        delimiter = ";" if line.count(b";") > line.count(b",") else ","
        names = _cells(line, delimiter)
        if _has(names, known):
            return CsvText(file.name, rest, names, delimiter, first_line=above + 2 + file.skipped)
    raise DataError(
        f"file {file.name}: no header with the column {known!r} in its first lines; is it another data set?"
    )


def _has(names: Sequence[str], known: str | None) -> bool:
    return known is None or known.lower() in (name.lower() for name in names)


def without_header(file: SourceFile, names: Sequence[str], *, number_at: int) -> CsvText:
    """Take the names as published.

    The first line is data if its cell `number_at` is a number; else it is a header, maybe broken, and dropped.
    """
    if file.rows is not None:
        return CsvText(file.name, b"", tuple(names)[: file.rows.num_columns], rows=file.rows)
    check_kind(file)
    data = file.data.removeprefix(BOM)
    first, _, rest = data.partition(b"\n")
    is_data = is_number("".join(_cells(first, ",")[number_at : number_at + 1]))
    first_line = (1 if is_data else 2) + file.skipped
    return CsvText(file.name, data if is_data else rest, tuple(names), first_line=first_line)


def names_all(file: SourceFile, profile: Profile) -> bool:
    """Whether the first line is a header with every feature of the profile."""
    names = file.rows.schema.names if file.rows is not None else _first_line(file)
    return {*(f.field for f in profile.numeric), *(f.field for f in profile.categorical)} <= set(names)


def _first_line(file: SourceFile) -> tuple[str, ...]:
    return _cells(file.data.removeprefix(BOM).partition(b"\n")[0], ",")


def is_number(text: str) -> bool:
    """Whether a cell spells a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def check_kind(file: SourceFile) -> None:
    """Refuse what is no text, by its first bytes.

    Raises:
        DataError: says what it is and what to do.
    """
    if not file.data.strip() and file.rows is None:
        raise DataError(f"file {file.name}: is empty; fetch it again")
    if file.data.startswith(b"PK\x03\x04"):
        raise DataError(f"file {file.name}: is a workbook or zip archive; save or unpack it as CSV")
    if file.data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"file {file.name}: is UTF-16; save it as UTF-8")


def decoded(line: bytes) -> str:
    """A line as text: UTF-8, or Latin-1 where that fails."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _cells(line: bytes, delimiter: str) -> tuple[str, ...]:
    try:
        cells = next(csv.reader([decoded(line).strip("\r")], delimiter=delimiter), [])
    except csv.Error as error:
        raise DataError(f"the header {line[:60]!r} cannot be read ({error}); is it a CSV file?") from None
    return tuple(cell.strip() for cell in cells)


@dataclass(frozen=True)
class Columns:
    """Columns of one file by the profile's field names; `left_out` lines of a wrong length are not among them.

    `times` are (n,) seconds since the epoch, NaN where there is none; None where they were not asked for.
    """

    file: str
    columns: Mapping[str, Column]
    left_out: int = 0
    times: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def take(self, rows: NDArray[np.bool_]) -> Columns:
        """The rows of a mask."""
        times = None if self.times is None else self.times[rows]
        return Columns(self.file, {name: c[rows] for name, c in self.columns.items()}, self.left_out, times)


def read_columns(
    text: CsvText,
    profile: Profile,
    extra: Sequence[str] = (),
    *,
    time: TimeField | None = None,
    tolerant: bool = False,
    own: bool = False,
) -> Columns:
    """Read the profile's features and context, and the `extra` columns as texts.

    A name that comes twice counts once, the first time; capital letters do not matter.

    Args:
        text: the file.
        profile: its numeric fields become float64 (infinite as missing: NaN), the others texts.
        extra: further fields, e.g. the label.
        time: read the times too; one that its format does not fit is NaN.
        tolerant: leave out lines with a wrong number of cells, and count them; otherwise they are an error.
        own: a user's own file, to be mended; else one that its owner publishes, to be fetched again.

    Raises:
        DataError: a column is missing, a cell is not a number, a line has a wrong number of cells.
    """
    numeric = [f.field for f in profile.numeric]
    others = [*(f.field for f in profile.categorical), *profile.context, *extra]
    timed = [time.field] if time and time.field else []
    where = _positions(text, [*numeric, *dict.fromkeys([*others, *timed])], profile.name)
    bad: list[str] = []
    table = _parse(text, where, set(numeric), bad if tolerant else None, own)
    columns: dict[str, Column] = {}
    for name in (*numeric, *others):
        column = table[str(where[name])]
        columns[name] = numbers(column) if name in numeric else texts(column)
    times = seconds(table[str(where[timed[0]])], time.format) if time and timed else None
    return Columns(text.file, columns, len(bad), times)


def _positions(text: CsvText, wanted: Sequence[str], dataset: str) -> dict[str, int]:
    exact = {name: i for i, name in reversed(list(enumerate(text.names))) if name}
    folded = {name.casefold(): i for i, name in reversed(list(enumerate(text.names))) if name}
    where = {name: exact.get(name, folded.get(name.casefold(), -1)) for name in wanted}
    if lacking := [name for name, i in where.items() if i < 0]:
        raise DataError(
            f"file {text.file}: lacks the columns {', '.join(lacking)} of data set {dataset!r}; it has "
            f"{', '.join(n for n in text.names[:8] if n)}, ...: is it another release or another data set?"
        )
    return where


def _parse(text: CsvText, where: Mapping[str, int], numeric: set[str], bad: list[str] | None, own: bool) -> Any:
    """An Arrow table whose columns are named by their positions."""
    try:
        import pyarrow as pa
        from pyarrow import csv as arrow_csv
    except ImportError as error:
        raise ConfigurationError("loading data sets needs pyarrow; pip install 'streamgauge[data]'") from error

    if text.rows is not None:
        return typed(text.rows, where, numeric, text.file, own)
    types = {str(i): pa.float64() if name in numeric else pa.string() for name, i in where.items()}
    if not text.data.strip():
        return pa.schema(types).empty_table()
    convert = arrow_csv.ConvertOptions(
        column_types=types,
        include_columns=list(types),
        null_values=MISSING,
        decimal_point="," if text.delimiter == ";" and _has_decimal_commas(text.data) else ".",
    )
    names = [str(i) for i in range(len(text.names))]
    read = arrow_csv.ReadOptions(
        use_threads=False, block_size=_BLOCK_BYTES, column_names=names, encoding=_encoding(text.data)
    )
    parse = arrow_csv.ParseOptions(delimiter=text.delimiter, invalid_row_handler=_row_handler(bad))
    try:
        return arrow_csv.read_csv(pa.BufferReader(text.data), read, parse, convert)
    except pa.ArrowInvalid as error:
        lines = text.data.decode(_encoding(text.data))
        said = in_words(str(error), lines, text.names, text.delimiter, text.first_line, own)
        raise DataError(f"file {text.file}: {said}") from error


def _row_handler(bad: list[str] | None) -> Callable[[Any], str] | None:
    if bad is None:
        return None

    def skip(row: Any) -> str:
        bad.append(row.text)
        return "skip"

    return skip


def _has_decimal_commas(data: bytes) -> bool:
    return b"," in data[: 1 << 16]


def _encoding(data: bytes) -> str:
    try:
        data.decode()
    except UnicodeDecodeError:
        return "latin-1"
    return "utf8"
