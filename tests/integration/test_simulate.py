"""`streamgauge simulate` on the bundled sample: a table, JSON, and errors of one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = ("--clients", "3", "--rounds", "2", "--set", "rows=200", "--set", "epochs=1")


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "services.cli", "simulate", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=300)


def test_the_bundled_sample_gives_a_table_and_the_same_json_twice(tmp_path: Path) -> None:
    answers = []
    for name in ("one.json", "two.json"):
        done = command(*SMALL, "--detector", "mlp", "--set", "threshold=fbeta", "--out", str(tmp_path / name))
        assert done.returncode == 0, done.stderr
        assert "mlp, federated" in done.stdout
        answers.append(json.loads((tmp_path / name).read_text()))
    for answer in answers:
        assert [r["number"] for r in answer["rounds"]] == [1, 2]
        assert all(r.pop("seconds") > r.pop("train_seconds") > 0 for r in answer["rounds"])
        assert 0 <= answer["rounds"][1]["common"]["auc"] <= 1
        assert answer["data"]["clients"]["client-0"]["train"]["rows"] == 120
        assert answer["bytes_sent"] > 0
    assert answers[0] == answers[1]


def test_the_mean_says_over_how_many_clients_it_is() -> None:
    few = ("--clients", "5", "--rounds", "1", "--detector", "pca", "--set", "rows=40", "--seed", "4")
    done = command(*few)
    assert done.returncode == 0, done.stderr
    caption = " ".join(done.stdout.split("\n")[-3:]).split()
    assert "mean of 5 clients, but F1 and always alarm over 4, AUC over 4" in " ".join(caption)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere",), "no such file"),
        (("--detector", "mpl"), "unknown detector"),
        (("--set", "alpha=-1"), "alpha=-1"),
        (("--set", "clints=3"), "NAME one of alpha, attack"),
        (("--set", "epochs=many"), "epochs='many'"),
        (("--out", "/no/such/folder/x.json"), "a folder that exists"),
    ],
)
def test_wrong_arguments_end_with_one_line(arguments: tuple[str, ...], words: str) -> None:
    done = command(*SMALL, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_help_names_every_setting_without_loading_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; from services.cli import main; main()"
    line = [sys.executable, "-c", code, "simulate", "--set", "help"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "stragglers = 0.0" in done.stdout
