"""Items made in advance are the same ones, and a failure comes in its turn."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from services.replay.ahead import ahead


@pytest.mark.parametrize("count", [0, 1, 3])
def test_all_come_in_their_order_and_a_failure_in_its_turn(count: int) -> None:
    def items() -> Iterator[int]:
        yield from range(20)
        raise ValueError("the twenty-first")

    seen: list[int] = []
    with pytest.raises(ValueError, match="twenty-first"):
        seen.extend(ahead(items(), count))
    assert seen == list(range(20))
    assert list(ahead(iter(()), count)) == []


def test_no_more_than_so_many_are_made_and_none_after_the_end() -> None:
    made: list[int] = []
    enough = threading.Event()

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            if number == 2:
                enough.set()
            yield number

    with closing(ahead(items(), 2)) as taken:
        assert next(taken) == 0
        assert enough.wait(10), "made while the first one is used"
        assert len(made) <= 3
    assert len(made) <= 4
    assert not any(thread.name.startswith("ahead") for thread in threading.enumerate())
