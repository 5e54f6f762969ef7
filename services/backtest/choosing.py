"""Which rows are trained on, decided while they pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import ConfigurationError
from streamgauge.profiles.loaders.table import Table

_UNLABELLED_SHARE = 0.3


@dataclass(frozen=True)
class Survey:
    """What a first look at the data says.

    Attributes:
        rows: how many there are.
        first_abnormal: number of the first row with such a label; None without any.
    """

    rows: int
    first_abnormal: int | None


def survey(tables: Iterable[Table]) -> Survey:
    """Look at all rows once."""
    rows, first = 0, None
    for table in tables:
        abnormal = np.flatnonzero(table.labels == 1)
        if first is None and len(abnormal):
            first = rows + int(abnormal[0])
        rows += len(table)
    return Survey(rows, first)


class Choice:
    """The rows to train on; the others are tested. Asked once for each table, in their order.

    Args:
        text: a number of rows, a time in ISO 8601 up to which, or ``each:ROWS``: so many of every entity. None: up
            to the first abnormal record, at most half of all; without any abnormal one the first 30 %.
        known: the first look.

    Raises:
        ConfigurationError: the text is none of these.
    """

    def __init__(self, text: str | None, known: Survey) -> None:
        self._row, self._latest = 0, -np.inf
        self._seen: dict[str, int] = {}
        self._each: int | None = None
        self._until_row: int | None = None
        self._until_s: float | None = None
        if text is not None and text.startswith("each:") and text[5:].isdigit():
            self._each = int(text[5:])
        elif text is None or text.isdigit():
            self._until_row = _default_end(known) if text is None else int(text)
        else:
            self._until_s = _moment(text)

    @property
    def over(self) -> bool:
        """Whether no later row can be chosen."""
        if self._until_s is not None:
            return self._latest >= self._until_s
        return self._until_row is not None and self._row >= self._until_row

    def of(self, table: Table) -> NDArray[np.bool_]:
        """(n,) whether each of the next rows is chosen."""
        numbers = self._row + np.arange(len(table))
        self._row += len(table)
        if self._until_row is not None:
            return np.asarray(numbers < self._until_row)
        if self._until_s is not None:
            latest = np.fmax.accumulate(np.concatenate([[self._latest], table.times]))[1:]
            self._latest = float(latest[-1]) if len(latest) else self._latest
            return np.asarray(latest < self._until_s)
        assert self._each is not None
        return np.array([self._place(name) < self._each for name in table.entities.tolist()], bool)

    def _place(self, name: str) -> int:
        place = self._seen.get(name, 0)
        self._seen[name] = place + 1
        return place

    def chosen(self, tables: Iterable[Table]) -> Iterator[Table]:
        """The rows to train on; reads no further than they go."""
        for table in tables:
            if len(rows := np.flatnonzero(self.of(table))):
                yield table.take(rows)
            if self.over:
                return

    def others(self, tables: Iterable[Table]) -> Iterator[Table]:
        """The rows to test."""
        for table in tables:
            if len(rows := np.flatnonzero(~self.of(table))):
                yield table if len(rows) == len(table) else table.take(rows)


def _default_end(known: Survey) -> int:
    if known.first_abnormal is None:
        return int(_UNLABELLED_SHARE * known.rows)
    return min(known.first_abnormal, known.rows // 2)


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"--train {text}: write a number of rows, each:ROWS, or a time: 2026-01-31T08:00"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
