"""Turns a terminal's text with colours into ``docs/images/demo.svg``, the picture of the README.

::

    tmux new-session -d -s demo -x 118 -y 44 "make demo FOR=135"
    sleep 90; tmux capture-pane -e -p -t demo | .venv/bin/python docs/images/render.py
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

TARGET = Path(__file__).with_name("demo.svg")
FONTS = re.compile(r"@font-face\s*{{.*?}}\s*", re.DOTALL)
"""Fonts that rich would load from elsewhere; any monospaced one will do."""


def render(captured: str, title: str) -> str:
    """The picture of what was captured, without the empty lines around it."""
    lines = [Text.from_ansi(line) for line in captured.strip("\n").splitlines()]
    while lines and not lines[-1].plain.strip():
        lines.pop()
    console = Console(
        record=True, file=io.StringIO(), width=max(line.cell_len for line in lines), height=len(lines)
    )
    for line in lines:
        console.print(line, no_wrap=True, overflow="ignore", crop=False)
    return console.export_svg(title=title, code_format=FONTS.sub("", CONSOLE_SVG_FORMAT))


if __name__ == "__main__":
    TARGET.write_text(render(sys.stdin.read(), "make demo"), encoding="utf-8")
