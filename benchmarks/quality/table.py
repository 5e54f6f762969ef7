"""What a table is: sections with a protocol each, rows that run once a seed, targets and paired comparisons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.quality.data import load
from streamgauge.errors import ConfigurationError
from streamgauge.profiles.loaders import Table as Data
from streamgauge.registry import Registry

ALWAYS_ALARM = "always_alarm_f1"
"""Figure that every row with an F1 reports too: the F1 of calling every test record abnormal."""


@dataclass(frozen=True)
class Context:
    """What one run of a row gets.

    Attributes:
        data: the folder with the data sets; empty where the table needs none.
        seed: of everything random.
        say: shows a line of progress.
    """

    data: Path
    seed: int
    say: Callable[[str], None] = lambda text: None

    def load(self, name: str, *files: str) -> Data:
        """A data set, read once a process; not to be modified."""
        return load(name, self.data, files)


@dataclass(frozen=True)
class Outcome:
    """Result of one run.

    Attributes:
        figures: name -> number, for the table's columns; finite: what is not defined is left out.
        details: anything JSON: curves, matrices; kept in the table's JSON for plots and extra lines.
    """

    figures: Mapping[str, float]
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        key: unique in the table, stable: letters, digits, ``-``, ``.`` and ``_``.
        label: as printed.
        run: one seed of it; raises StreamgaugeError where it cannot.
        config: JSON; all that decides the result beside data, code and seed. With the seed it keys the kept run.
        paper: figure -> number that the paper states for it, in the figure's unit.
        note: printed below the table.
    """

    key: str
    label: str
    run: Callable[[Context], Outcome]
    config: Mapping[str, Any] = field(default_factory=dict)
    paper: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a section.

    Attributes:
        figure: name in `Outcome.figures`.
        title: as printed.
        style: ``percent`` (a share, printed x 100 with two digits) or a format such as ``.3f`` or ``,.0f``.
    """

    figure: str
    title: str
    style: str = "percent"

    def text(self, value: float) -> str:
        """One number as printed."""
        return f"{100 * value:.2f}" if self.style == "percent" else format(value, self.style)


@dataclass(frozen=True)
class Protocol:
    """How the section was measured; every line is printed.

    Attributes:
        kind: whether it is the paper's way or the strict one, or ours where the paper says nothing.
        split: which rows train, validate and test.
        labels: which labels were used, for what.
        threshold: chosen on what.
        tuning: how many trials on what, equal for all rows unless said.
        remarks: whatever else a reader must know.
    """

    kind: Literal["paper", "strict", "ours"]
    split: str
    labels: str
    threshold: str
    tuning: str
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """A number that was set beforehand, for a row's mean."""

    row: str
    figure: str
    bound: float
    at: Literal["least", "most"] = "least"
    text: str = ""

    def reached(self, mean: float) -> bool:
        """Whether the mean is on the right side of the bound."""
        return mean >= self.bound if self.at == "least" else mean <= self.bound


@dataclass(frozen=True)
class Comparison:
    """The difference ``row - other`` of a figure, paired by seed."""

    row: str
    other: str
    figure: str
    text: str = ""


@dataclass(frozen=True)
class Section:
    """Rows that share a protocol and columns."""

    title: str
    protocol: Protocol
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    targets: tuple[Target, ...] = ()
    comparisons: tuple[Comparison, ...] = ()


Result = dict[str, Any]
"""What stands in NAME.json; see `benchmarks.quality.result`."""


@dataclass(frozen=True)
class Table:
    """A whole table.

    Attributes:
        name: of its files.
        title: heading.
        sections: in order.
        remarks: Markdown paragraphs above the sections.
        extra: Markdown lines below the sections, from the result (matrices, explanations).
        plot: writes PNGs named after `path`'s stem, returns their names. None: points of the first columns.
        needs_data: whether its rows read data sets.
    """

    name: str
    title: str
    sections: tuple[Section, ...]
    remarks: tuple[str, ...] = ()
    extra: Callable[[Result], Sequence[str]] | None = None
    plot: Callable[[Result, Path], Sequence[str]] | None = None
    needs_data: bool = True

    def __post_init__(self) -> None:
        keys = [row.key for row in self.rows]
        if doubled := sorted({key for key in keys if keys.count(key) > 1}):
            raise ConfigurationError(f"table {self.name!r} has rows of the same key: {', '.join(doubled)}")
        for section in self.sections:
            own = {row.key for row in section.rows}
            named = {t.row for t in section.targets} | {k for c in section.comparisons for k in (c.row, c.other)}
            if unknown := sorted(named - own):
                raise ConfigurationError(
                    f"section {section.title!r}: targets or comparisons name {', '.join(unknown)}, no row of it"
                )

    @property
    def rows(self) -> tuple[Row, ...]:
        """Rows of all sections."""
        return tuple(row for section in self.sections for row in section.rows)


TABLES: Registry[Callable[[], Table]] = Registry("table", "benchmarks.quality.tables")
"""All tables by name."""
