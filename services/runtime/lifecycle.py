"""Start and end of a service process."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

from services.runtime.errors import StoppedError
from services.runtime.processes import end_children_at_once
from streamgauge.errors import DataError, InvalidRecordError, StreamgaugeError

EXIT_FOUND = 1
"""Something was found wrong, or data was refused. Python's own code of a defect is the same."""
EXIT_CONFIGURATION = 2
"""The command could not do its work: wrong arguments or settings, or a cluster that is not as it must be."""


def stop_event() -> threading.Event:
    """An event that SIGTERM and SIGINT set; the loop looks at it and ends in its own time.

    A second signal ends the process at once, and its children with it. Call it in the main thread.
    """
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            # The kernel would end them with us on Linux only, and no clean-up of ours runs any more.
            end_children_at_once()
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop


def run_command(command: Callable[[], int], *explained: type[Exception]) -> int:
    """Run a command and return the exit code of the process: its own, or that of an error that its text explains.

    Such an error's message stands alone on stderr: `EXIT_FOUND` if it is of data, `EXIT_CONFIGURATION` if of
    arguments, settings, topics or keys, and of the classes `explained` (OSError of files). 0 after a stop that was
    asked for. Anything else is a defect: it propagates with its traceback, so that a supervisor restarts it.
    """
    others: tuple[type[Exception], ...] = (StreamgaugeError, *explained)
    try:
        return command()
    except StoppedError:
        return 0
    except (DataError, InvalidRecordError) as error:
        print(error, file=sys.stderr)
        return EXIT_FOUND
    except others as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIGURATION


def run_service(main: Callable[[], None]) -> int:
    """As `run_command` of a `main` that ends when it is told to."""

    def command() -> int:
        main()
        return 0

    return run_command(command)
