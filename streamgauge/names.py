"""Names of entities, one a record: each distinct one is held once, so that it is looked up once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

Codes = NDArray[np.int64]


class Names(Sequence[str]):
    """n names; equal to any sequence of the same texts.

    Args:
        distinct: all that occur; more may stand there.
        codes: (n,) int64, where each record's name stands among them.

    Cost: asking for all n by `numbers` is one look-up a distinct name, and a nanosecond a record.

    >>> names = Names.of(["a", "b", "a"])
    >>> names[2], names.numbers({"a": 7}.get, -1).tolist()
    ('a', [7, -1, 7])
    """

    __slots__ = ("codes", "distinct")

    def __init__(self, distinct: Sequence[str], codes: Codes) -> None:
        self.distinct, self.codes = distinct, codes

    @classmethod
    def of(cls, names: Sequence[str]) -> Names:
        """Any sequence of texts as names; itself where it is that already."""
        if isinstance(names, Names):
            return names
        distinct = list(dict.fromkeys(names))
        place = {name: k for k, name in enumerate(distinct)}
        return cls(distinct, np.fromiter(map(place.__getitem__, names), np.int64, len(names)))

    @classmethod
    def joined(cls, parts: Sequence[Names]) -> Names:
        """All parts one after the other."""
        if len(parts) == 1:
            return parts[0]
        place: dict[str, int] = {}
        codes = [part.numbers(lambda name, _: place.setdefault(name, len(place)), 0) for part in parts]
        return cls(list(place), np.concatenate([np.empty(0, np.int64), *codes]))

    def numbers(self, find: Callable[[str, int], int], absent: int) -> Codes:
        """(n,) what `find(name, absent)` says of each record's name; asked once for each distinct one."""
        found = np.fromiter((find(name, absent) for name in self.distinct), np.int64, len(self.distinct))
        return found[self.codes]

    def only(self, rows: NDArray[np.bool_] | Codes) -> Names:
        """The names of these records."""
        return Names(self.distinct, self.codes[rows])

    @override
    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, row: int, /) -> str: ...
    @overload
    def __getitem__(self, row: slice, /) -> Names: ...
    @override
    def __getitem__(self, row: int | slice, /) -> str | Names:
        if isinstance(row, slice):
            return Names(self.distinct, self.codes[row])
        return self.distinct[int(self.codes[row])]

    @override
    def __iter__(self) -> Iterator[str]:
        return map(self.distinct.__getitem__, self.codes.tolist())

    @override
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return list(self) == list(other)

    @override
    def __repr__(self) -> str:
        return f"Names.of({list(self)!r})"
