"""The service's loops beside the HTTP server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

Loop = Callable[[threading.Event], None]


@contextmanager
def running(loops: Sequence[Loop], stop: threading.Event, on_end: Callable[[], None]) -> Iterator[None]:
    """Run loops in threads of their own while the body runs; leaving it stops and joins them.

    Args:
        loops: each runs until the event it is given is set.
        stop: set when the body or any loop ends.
        on_end: called in the thread of each loop that ends.

    Raises:
        BaseException: whatever the first failed loop raised, in the caller's thread.
    """
    failures: list[BaseException] = []

    def guarded(loop: Loop) -> None:
        try:
            loop(stop)
        except BaseException as error:  # noqa: BLE001 - raised again below, in the main thread
            failures.append(error)
        finally:
            stop.set()
            on_end()

    threads = [threading.Thread(target=guarded, args=(loop,), name=f"api-{n}") for n, loop in enumerate(loops)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]
