"""Delimited files as they are published: byte-order marks, blanks, `;`, decimal commas, broken headers."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import ConfigurationError, DataError
from streamgauge.profiles.loaders.files import SourceFile
from streamgauge.profiles.loaders.table import Column
from streamgauge.profiles.profile import Profile

BOM = b"\xef\xbb\xbf"
_MISSING = ["", "NA", "N/A", "NaN", "nan", "NULL", "null", "#N/A", "None"]
_BLOCK_BYTES = 1 << 24


@dataclass(frozen=True)
class CsvText:
    """A file's bytes from its first data line on, and what stands in which column.

    Attributes:
        file: name, for messages.
        data: data lines; UTF-8, or Latin-1 where that fails.
        names: one a column, blanks around taken off; a name may come twice, ``""`` names a column to ignore.
        delimiter: ``,`` or ``;``.
    """

    file: str
    data: bytes
    names: tuple[str, ...]
    delimiter: str = ","


def with_header(file: SourceFile, known: str | None = None) -> CsvText:
    """Take the names from the first line, or from the first that has the column `known` (lines above are titles).

    Raises:
        DataError: empty, a workbook, UTF-16, or no line of the first ten has the column.
    """
    _check_kind(file)
    rest = file.data.removeprefix(BOM)
    for _ in range(10):
        line, _, rest = rest.partition(b"\n")
        delimiter = ";" if line.count(b";") > line.count(b",") else ","
        names = _cells(line, delimiter)
        if known is None or known.lower() in (name.lower() for name in names):
            return CsvText(file.name, rest, names, delimiter)
    raise DataError(
        f"file {file.name}: no header with the column {known!r} in its first lines; is it another data set?"
    )


def without_header(file: SourceFile, names: Sequence[str], *, number_at: int) -> CsvText:
    """Take the names as published.

    The first line is data if its cell `number_at` is a number; else it is a header, maybe broken, and dropped.
    """
    _check_kind(file)
    data = file.data.removeprefix(BOM)
    first, _, rest = data.partition(b"\n")
    is_data = is_number("".join(_cells(first, ",")[number_at : number_at + 1]))
    return CsvText(file.name, data if is_data else rest, tuple(names))


def names_all(file: SourceFile, profile: Profile) -> bool:
    """Whether the first line is a header with every feature of the profile."""
    names = _cells(file.data.removeprefix(BOM).partition(b"\n")[0], ",")
    return {*(f.field for f in profile.numeric), *(f.field for f in profile.categorical)} <= set(names)


def is_number(text: str) -> bool:
    """Whether a cell spells a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_kind(file: SourceFile) -> None:
    if not file.data.strip():
        raise DataError(f"file {file.name}: is empty; fetch it again")
    if file.data.startswith(b"PK\x03\x04"):
        raise DataError(f"file {file.name}: is a workbook or zip archive; save or unpack it as CSV")
    if file.data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"file {file.name}: is UTF-16; save it as UTF-8")


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _cells(line: bytes, delimiter: str) -> tuple[str, ...]:
    try:
        cells = next(csv.reader([_decoded(line).strip("\r")], delimiter=delimiter), [])
    except csv.Error as error:
        raise DataError(f"the header {line[:60]!r} cannot be read ({error}); is it a CSV file?") from None
    return tuple(cell.strip() for cell in cells)


@dataclass(frozen=True)
class Columns:
    """Columns of one file by the profile's field names; `left_out` lines of a wrong length are not among them."""

    file: str
    columns: Mapping[str, Column]
    left_out: int = 0

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def take(self, rows: NDArray[np.bool_]) -> Columns:
        """The rows of a mask."""
        return Columns(self.file, {name: c[rows] for name, c in self.columns.items()}, self.left_out)


def read_columns(text: CsvText, profile: Profile, extra: Sequence[str] = (), *, tolerant: bool = False) -> Columns:
    """Read the profile's features and context, and the `extra` columns as texts.

    A name that comes twice counts once, the first time; capital letters do not matter.

    Args:
        text: the file.
        profile: its numeric fields become float64 (infinite as missing: NaN), the others texts.
        extra: further fields, e.g. time and label.
        tolerant: leave out lines with a wrong number of cells, and count them; otherwise they are an error.

    Raises:
        DataError: a column is missing, a cell is not a number, a line has a wrong number of cells.
    """
    numeric = [f.field for f in profile.numeric]
    texts = [*(f.field for f in profile.categorical), *profile.context, *extra]
    where = _positions(text, [*numeric, *dict.fromkeys(texts)], profile.name)
    bad: list[str] = []
    table = _parse(text, where, set(numeric), bad if tolerant else None)
    columns: dict[str, Column] = {}
    for name in where:
        chunked = table[str(where[name])]
        columns[name] = _numbers(chunked) if name in numeric else _texts(chunked)
    return Columns(text.file, columns, len(bad))


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


def _parse(text: CsvText, where: Mapping[str, int], numeric: set[str], bad: list[str] | None) -> Any:
    """An Arrow table whose columns are named by their positions."""
    try:
        import pyarrow as pa
        from pyarrow import csv as arrow_csv
    except ImportError as error:
        raise ConfigurationError("loading data sets needs pyarrow; pip install 'streamgauge[data]'") from error

    types = {str(i): pa.float64() if name in numeric else pa.string() for name, i in where.items()}
    if not text.data.strip():
        return pa.schema(types).empty_table()
    convert = arrow_csv.ConvertOptions(
        column_types=types,
        include_columns=list(types),
        null_values=_MISSING,
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
        raise DataError(f"file {text.file}: {_in_words(str(error), text)}; fetch the file again") from error


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


def _in_words(error: str, text: CsvText) -> str:
    """Arrow's message with the column's name for its number."""
    start, colon, rest = error.partition(":")
    number = start.removeprefix("In CSV column #")
    if colon and number.isdigit() and int(number) < len(text.names):
        return f"column {text.names[int(number)]!r}:{rest}"
    return error


def _numbers(chunked: Any) -> NDArray[np.float64]:
    values = np.array(chunked.to_numpy(), np.float64)
    values[np.isinf(values)] = np.nan
    return values


def _texts(chunked: Any) -> NDArray[np.object_]:
    """Blanks around taken off, None where nothing is left; equal texts are one object."""
    encoded = chunked.dictionary_encode().combine_chunks()
    if len(encoded) == 0:
        return np.empty(0, object)
    stripped = [(value or "").strip() or None for value in encoded.dictionary.to_pylist()]
    known = np.array([*stripped, None], object)
    texts: NDArray[np.object_] = known[encoded.indices.fill_null(len(stripped)).to_numpy(zero_copy_only=False)]
    return texts
