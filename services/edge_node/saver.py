"""Writes checkpoints beside the loop, one at a time (docs/adr/040-checkpoint-beside-the-loop.md)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from services.runtime.atomic import replace_atomic
from services.runtime.tensorfile import TensorFile
from streamgauge.errors import StateError

Then = Callable[[], None]


class Saver:
    """Takes the state in the loop's thread and writes it in another one.

    The writer needs Python's lock for a few milliseconds only: encoding is done when the state is taken, and
    safetensors writes without it.

    Args:
        path: of the checkpoint.
        take: gives the state as it stands now, and what to do once that is on the disk.
        reach: told of each step, also by the writer's thread; tests end the process there.
    """

    def __init__(
        self, path: Path, take: Callable[[], tuple[TensorFile, Then]], reach: Callable[[str], None]
    ) -> None:
        self._path, self._take, self._reach = path, take, reach
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None
        self._asked = False
        self._next: list[Then] = []
        """What waits for a state that is taken from now on."""
        self._current: list[Then] = []
        """What waits for the state that is being written."""

    def ask(self, then: Then | None = None) -> None:
        """Have the state saved as it is now or later; `then` is called by `look` or `save` once it is durable."""
        self._asked = True
        if then is not None:
            self._next.append(then)

    def look(self) -> None:
        """Go on without waiting: end what has been written, begin what was asked for.

        Raises:
            StateError: the state could not be written.
        """
        if self._writing is not None and self._writing.done():
            self._end()
        if self._asked and self._writing is None:
            self._begin()

    def save(self) -> None:
        """Save the state as it is now and wait until it is durable.

        Raises:
            StateError: as `look`.
        """
        if self._writing is not None:
            self._end()
        self._begin()
        self._end()

    def close(self) -> None:
        """Wait for what is being written, however it ends: nobody may write to the state directory afterwards."""
        self._writer.shutdown()

    def _begin(self) -> None:
        file, done = self._take()
        self._asked, self._current, self._next = False, [done, *self._next], []
        self._reach("state taken")
        self._writing = self._writer.submit(self._write, file)

    def _write(self, file: TensorFile) -> None:
        self._reach("writing")
        replace_atomic(self._path, file.write)
        self._reach("written")

    def _end(self) -> None:
        assert self._writing is not None
        try:
            self._writing.result()
        except OSError as error:
            raise StateError(
                f"{self._path} cannot be written ({error}); make room on its disk and see that STATE_DIR may be "
                "written, then start the node again: it goes on from the last checkpoint"
            ) from error
        self._writing, waiting = None, self._current
        self._current = []
        for then in waiting:
            then()
