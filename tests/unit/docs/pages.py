"""Reads the documentation: pages, fenced blocks, tables, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[3]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")


class Block(NamedTuple):
    """A fenced block."""

    page: str
    language: str
    text: str


@cache
def pages() -> dict[str, str]:
    """Every page of the documentation, path -> text."""
    found = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    found += sorted((ROOT / "docs").rglob("*.md"))
    found += [ROOT / "services/replay/samples/README.md", ROOT / "deploy/profiles/README.md"]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in found}


def blocks(language: str, page: str | None = None) -> list[Block]:
    """Fenced blocks of a language, of one page or of all."""
    return [
        Block(name, found[1], found[2])
        for name, text in pages().items()
        if page in (None, name)
        for found in _FENCE.finditer(text)
        if found[1] == language
    ]


def prose(page: str) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", pages()[page])


def inline(page: str) -> list[str]:
    """What stands in backticks outside of the fenced blocks."""
    return _INLINE.findall(prose(page))


def commands() -> list[tuple[str, str]]:
    """(page, command): each line of the `sh` blocks, and inline code that looks like a command of ours."""
    found = [
        (block.page, line)
        for block in blocks("sh")
        for line in block.text.splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]
    ours = re.compile(r"(make|streamgauge|(\S*/)?python -m) \S")
    found += [(page, code) for page in pages() for code in inline(page) if ours.match(code) and "<" not in code]
    return sorted(set(found))


def rows(page: str, first: str) -> Iterator[list[str]]:
    """Cells of the table whose first column is called `first`, without the header."""
    lines = iter(pages()[page].splitlines())
    for line in lines:
        if line.startswith(f"| {first} |"):
            next(lines)
            for row in lines:
                if not row.startswith("|"):
                    return
                yield [cell.strip() for cell in row.strip("|").split("|")]


def links(page: str) -> list[str]:
    """Relative targets of a page's links and pictures."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [target.partition("#")[0] for target in found if not target.startswith(("http:", "https:", "#"))]
