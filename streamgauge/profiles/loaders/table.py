"""What a loader returns: columns, truth, times, entities and where every row came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import DataError

NORMAL = "normal"
"""`Table.attack_types` of normal rows."""
UNLABELLED = ""
"""`Table.attack_types` of rows without a label."""
Column = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Table:
    """n records of a data set, in the order of its files.

    Attributes:
        name: the data set, which is also the name of the profile that decodes its records.
        columns: field -> (n,) array. Numbers are float64, NaN where missing (an infinity is missing); texts are
            object arrays of str without blanks around, None where missing.
        labels: (n,) float32; 0 normal, 1 abnormal, NaN where not labelled.
        attack_types: (n,) object; ``normal``, ``""`` where not labelled, else the type as its owner spells it.
        times: (n,) float64 seconds since the epoch, a time without a zone read as UTC; NaN where there is none.
        entities: (n,) object; device, service or run; ``""`` where there is none.
        sources: (n,) object; name of the file, below the directory or in the archive.
        left_out: file -> lines that were left out because they are broken; only files with any.
    """

    name: str
    columns: Mapping[str, Column]
    labels: NDArray[np.float32]
    attack_types: NDArray[np.object_]
    times: NDArray[np.float64]
    entities: NDArray[np.object_]
    sources: NDArray[np.object_]
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        others = (self.labels, self.attack_types, self.times, self.entities, self.sources)
        lengths = {len(c) for c in (*self.columns.values(), *others)}
        if len(lengths) != 1:
            raise DataError(f"{self.name}: columns of different lengths {sorted(lengths)}; they must be equal")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Table:
        """The rows of an index or a mask, as copies."""
        return replace(
            self,
            columns={name: column[rows] for name, column in self.columns.items()},
            labels=self.labels[rows],
            attack_types=self.attack_types[rows],
            times=self.times[rows],
            entities=self.entities[rows],
            sources=self.sources[rows],
        )

    def part(self, low: int, high: int) -> Table:
        """Rows low to high, sharing memory with these."""
        if low <= 0 and high >= len(self):
            return self
        return replace(
            self,
            columns={name: column[low:high] for name, column in self.columns.items()},
            labels=self.labels[low:high],
            attack_types=self.attack_types[low:high],
            times=self.times[low:high],
            entities=self.entities[low:high],
            sources=self.sources[low:high],
        )

    def matrix(self, names: Sequence[str]) -> NDArray[np.float64]:
        """(n, len(names)) float64 of number columns.

        Raises:
            DataError: one of them is not there or holds texts.
        """
        for name in names:
            if name not in self.columns or self.columns[name].dtype != np.float64:
                numbers = ", ".join(n for n, c in self.columns.items() if c.dtype == np.float64)
                raise DataError(f"{self.name}: {name!r} is not a column of numbers; those are {numbers}")
        shape = (len(self), len(names))
        return np.stack([self.columns[n] for n in names], axis=1) if names else np.empty(shape)


def concatenated(parts: Iterable[Table]) -> Table:
    """One table of several with the same columns, at least one."""
    tables = list(parts)
    if len(tables) == 1:
        return tables[0]
    return Table(
        tables[0].name,
        columns={name: np.concatenate([t.columns[name] for t in tables]) for name in tables[0].columns},
        labels=np.concatenate([t.labels for t in tables]),
        attack_types=np.concatenate([t.attack_types for t in tables]),
        times=np.concatenate([t.times for t in tables]),
        entities=np.concatenate([t.entities for t in tables]),
        sources=np.concatenate([t.sources for t in tables]),
        left_out={name: lines for table in tables for name, lines in table.left_out.items()},
    )


def distinct(column: Column) -> tuple[list[Any], NDArray[np.int64]]:
    """Distinct texts of a column, None among them, in order of appearance, and (n,) the index of each row's."""
    import pyarrow as pa

    encoded = pa.array(column, pa.string()).dictionary_encode("encode")
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)


def constant(value: str, n: int) -> NDArray[np.object_]:
    """(n,) object array of one text."""
    return np.full(n, value, object)
