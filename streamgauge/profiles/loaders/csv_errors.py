"""Arrow's errors of CSV files in words: the line of the file, the column's name, the value, and what to do."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence

FETCH_AGAIN = "fetch the file again"
"""What to do about a file that its owner publishes."""
MEND = (
    "mend the cell, or leave it empty (an empty cell follows the profile's `missing` rule); "
    "`streamgauge profile check` counts such records"
)
"""What to do about a cell of one's own file."""
MEND_LINE = "mend the line, or take it out"
"""What to do about a line of one's own file."""
_NO_NUMBER = re.compile(
    r"In CSV column #(\d+): (?:Row #\d+: )?CSV conversion error to double: invalid value '(.*)'", re.DOTALL
)
_LENGTH = re.compile(r"CSV parse error: (?:Row #\d+: )?(Expected \d+ columns, got \d+.*)", re.DOTALL)


def in_words(error: str, text: str, names: Sequence[str], delimiter: str, first_line: int, own: bool) -> str:
    """What is wrong with a file and what to do, for people.

    Arrow counts rows from the first data line, without empty lines, and only where it reads with one thread: the
    cell that it names is looked for instead.

    Args:
        error: Arrow's message.
        text: the data lines.
        names: of the columns.
        delimiter: between cells.
        first_line: number of the first data line in its file.
        own: a user's own file, not a published one.

    Cost: reads the text once more, up to the cell.
    """
    if (cell := _NO_NUMBER.fullmatch(error)) and (j := int(cell[1])) < len(names):
        value = cell[2].strip()
        at = _line(text, delimiter, first_line, lambda row: j < len(row) and row[j].strip() == value)
        remedy = MEND if own else FETCH_AGAIN
        return f"{at and f'line {at}, '}column {names[j]!r}: {value[:60]!r} is not a number; {remedy}"
    if length := _LENGTH.fullmatch(error):
        at = _line(text, delimiter, first_line, lambda row: len(row) != len(names))
        return f"{at and f'line {at}: '}{length[1]}; {MEND_LINE if own else FETCH_AGAIN}"
    return f"{error}; {MEND_LINE if own else FETCH_AGAIN}"


def _line(text: str, delimiter: str, first_line: int, wrong: Callable[[list[str]], bool]) -> str:
    """Number of the line where the first wrong row begins; empty if there is none."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    begin = 0
    try:
        for row in reader:
            if row and wrong(row):
                return str(first_line + begin)
            begin = reader.line_num
    except csv.Error:
        return ""
    return ""
