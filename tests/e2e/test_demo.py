"""`streamgauge demo` as a user starts it: it shows the chain, ends well, and leaves no process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.demo.sources import SOURCES
from services.runtime.brokers import embedded
from services.runtime.processes import die_with_parent
from tests.support.processes import DEADLINE_S, PROJECT, until


@dataclass
class Demo:
    """The command, and how to tell its processes from all others: they inherit a variable."""

    log: Path
    mark: str = field(default_factory=lambda: f"demo-{uuid.uuid4().hex}")
    process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        """Start it on the embedded broker."""
        command = [sys.executable, "-m", "services.cli", "demo", "--api-port", "0", *options]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=PROJECT,
                env=os.environ | {"DEMO_MARK": self.mark},
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )

    def wait(self) -> int:
        """Its exit code."""
        assert self.process is not None
        return self.process.wait(DEADLINE_S)

    def left_over(self) -> list[str]:
        """Command lines of its processes that live."""
        found = []
        for environment in Path("/proc").glob("[0-9]*/environ"):
            try:
                if self.mark.encode() in environment.read_bytes():
                    found.append(environment.with_name("cmdline").read_text().replace("\0", " "))
            except OSError:
                continue  # ended, or not ours
        return found

    def text(self) -> str:
        """What it printed."""
        return self.log.read_text(errors="replace")


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    if (lack := embedded.missing()) is not None:
        pytest.skip(lack)
    if not sys.platform.startswith("linux"):
        pytest.skip("processes are counted in /proc")
    made = Demo(tmp_path / "demo.log")
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait()


@pytest.mark.parametrize("data", SOURCES)
def test_the_demo_ends_by_itself_with_its_verdict(data: str, demo: Demo) -> None:
    for seconds in ("45", "150"):  # a busy machine gets more time
        demo.start("--for", seconds, "--data", data)
        if demo.wait() == 0:
            break
    else:
        pytest.fail(demo.text())
    assert "The chain works" in demo.text()
    until(lambda: not demo.left_over(), lambda: str(demo.left_over()))


def test_ctrl_c_ends_the_demo_and_leaves_nothing(demo: Demo) -> None:
    demo.start()

    def works() -> bool:
        assert demo.process is not None
        assert demo.process.poll() is None, demo.text()
        return re.search(r" [1-9]\d* scored", demo.text()) is not None

    until(works, demo.text)
    assert demo.process is not None
    demo.process.send_signal(signal.SIGINT)
    assert demo.wait() == 0, demo.text()
    until(lambda: not demo.left_over(), lambda: str(demo.left_over()))
