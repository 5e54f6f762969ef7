"""Names that are held once each: whatever is asked of them, they answer as the plain list does."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.names import Names

PLAIN = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=12)


@given(PLAIN, PLAIN, st.integers(0, 12))
def test_they_are_the_list_they_were_made_of(first: list[str], second: list[str], cut: int) -> None:
    names = Names.joined([Names.of(first), Names.of(second)])
    plain = first + second
    assert names == plain
    assert (len(names), list(names), list(names[cut:])) == (len(plain), plain, plain[cut:])
    assert [names[i] for i in range(len(plain))] == plain
    kept = np.array([name != "b" for name in plain], bool)
    assert names.only(kept) == [name for name in plain if name != "b"]
    assert Names.of(names) is names


@given(PLAIN)
def test_each_name_is_looked_up_once(plain: list[str]) -> None:
    asked: list[str] = []

    def find(name: str, absent: int) -> int:
        asked.append(name)
        return {"a": 3, "b": 5}.get(name, absent)

    numbers = Names.of(plain).numbers(find, -1)
    assert numbers.tolist() == [{"a": 3, "b": 5}.get(name, -1) for name in plain]
    assert sorted(asked) == sorted(set(plain))
