"""Every command of the documentation exists: targets, options, modules, files, paths of the API."""

from __future__ import annotations

import importlib.util
import io
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from starlette.testclient import TestClient
from typer.main import get_command

from services.api.app import ApiParts, create_app
from services.api.build import MIGRATIONS
from services.api.store import Store
from services.cli import app as cli
from services.runtime.database import open_database
from tests.unit.api import kit
from tests.unit.docs.pages import ROOT, commands

THEIRS = {"kafka-console-consumer.sh", "sqlite3", "set"}
"""Programs of others, and words of the shell."""
COMMAND = get_command(cli)


def parts_of(line: str) -> list[list[str]]:
    """The simple commands of a line, split to words; comments are dropped."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set(";&|"):
            found.append([])
        else:
            found[-1].append(word)
    return [part for part in found if part]


def check_make(words: list[str]) -> None:
    text = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", text, re.MULTILINE))
    variables = set(re.findall(r"\$[({](?:if \$\()?([A-Z]+)", text)) | {"SEED"}
    for word in words[1:]:
        name, is_variable, _ = word.partition("=")
        assert name in (variables if is_variable else targets), word


def check_streamgauge(words: list[str]) -> None:
    """Unknown commands and options end with code 2 even when help is asked for."""
    ended = io.StringIO()
    with redirect_stdout(ended), redirect_stderr(ended), pytest.raises(SystemExit) as caught:
        COMMAND.main([*words[1:], "--help"], "streamgauge")
    assert caught.value.code == 0, ended.getvalue()


def check_python(words: list[str]) -> None:
    assert words[1] == "-m"
    assert importlib.util.find_spec(words[2]) is not None, words[2]


def check_pip(words: list[str]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert words[1:4] == ["install", "-c", "constraints.txt"]
    wanted = re.fullmatch(r"\.\[([a-z,]+)\]", words[4])
    assert wanted
    assert set(wanted[1].split(",")) <= extras.keys()


def check_docker(words: list[str]) -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    profiles = {profile for service in services.values() for profile in service.get("profiles", [])}
    assert words[1] == "compose"
    if words[2] == "--profile":
        assert words[3] in profiles
        del words[2:4]
    assert words[2:] == ["up", "--build"]


def check_source(words: list[str]) -> None:
    """`. FILE` and `cp FILE ...`; what a make target or a service makes need not be there."""
    made = (".venv/", "/var/lib/streamgauge/")
    assert words[1].startswith(made) or (ROOT / words[1]).is_file(), words[1]


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "make": check_make,
    "streamgauge": check_streamgauge,
    "python": check_python,
    ".venv/bin/python": check_python,
    "pip": check_pip,
    "docker": check_docker,
    ".": check_source,
    "cp": check_source,
    "curl": lambda words: None,
}


@pytest.mark.parametrize(("page", "line"), commands())
def test_each_command_exists(page: str, line: str) -> None:
    for words in parts_of(line.partition(" #")[0]):
        if words[0] not in THEIRS:
            assert words[0] in CHECKS, f"{page}: {words[0]} is not known to this test"
            CHECKS[words[0]](words)


def test_the_check_sees_what_is_wrong() -> None:
    wrong = [
        "make demoo",
        "make demo FORR=1",
        "streamgauge demo --fro 3",
        "streamgauge keys mak a",
        "python -m nope",
    ]
    for line in wrong:
        (words,) = parts_of(line)
        with pytest.raises(AssertionError):
            CHECKS[words[0]](words)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[TestClient]:
    database = open_database(f"sqlite:///{tmp_path / 'api.sqlite'}", MIGRATIONS)
    app = create_app(ApiParts(Store(database), kit.verdicts(database)))
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        yield client
    database.close()


def test_each_question_to_the_api_is_answered(api: TestClient) -> None:
    curls = [words for _, line in commands() for words in parts_of(line) if words[0] == "curl"]
    urls = [words[-1] for words in curls if "--json" not in words]  # what sends something is an order to a plant
    assert len(urls) >= 2
    for url in urls:
        parts = urlsplit(url)
        assert parts.netloc == "127.0.0.1:8000"
        assert api.get(f"{parts.path}?{parts.query}").status_code == 200, url
