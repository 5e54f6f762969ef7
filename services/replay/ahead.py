"""The next items of an iterator, made in a thread of their own while the one before is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

_T = TypeVar("_T")


def ahead(items: Iterator[_T], count: int) -> Generator[_T, None, None]:
    """The same items, up to `count` of them made in advance; an exception comes where its item would.

    Closing it waits for the item that is being made.

    Args:
        items: used by one thread, never by two at a time; must not depend on what is done with its items.
        count: 0: nothing is made in advance.
    """
    if not count:
        yield from items
        return

    def following() -> list[_T]:
        return list(islice(items, 1))

    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        waiting = deque(pool.submit(following) for _ in range(count))
        try:
            while made := waiting.popleft().result():
                waiting.append(pool.submit(following))
                yield made[0]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
