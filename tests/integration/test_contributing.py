"""CONTRIBUTING's steps work: a dropped-in detector, rule and profile are found and pass their contracts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"


def registered(file: str) -> str:
    """The name under which an example registers itself."""
    found = re.search(r'register\("(\w+)"\)', (EXAMPLES / file).read_text())
    assert found
    return found[1]


DETECTOR, RULE = registered("new_detector.py"), registered("new_rule.py")
DROPPED = {
    "new_detector.py": f"streamgauge/detectors/{DETECTOR}.py",
    "new_rule.py": f"streamgauge/federation/rules/{RULE}.py",
    "press.toml": "streamgauge/profiles/press.toml",
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project with the three files dropped in, and nothing else changed."""
    for name in ("streamgauge", "schemas", "services", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for source, target in DROPPED.items():
        assert not (tmp_path / target).exists(), f"{target} exists now: choose another name for the example"
        shutil.copy(EXAMPLES / source, tmp_path / target)
    return tmp_path


def run(copy: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMGAUGE_")}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=copy,
        env={**environment, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_one_file_makes_a_detector_and_one_a_rule(copy: Path) -> None:
    suites = ("tests/unit/detectors", "tests/unit/federation/test_rules.py", "tests/unit/test_architecture.py")
    shown = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", *suites, "-k", f"{DETECTOR} or {RULE}")
    assert " passed" in shown
    assert " skipped in" not in shown
    run(copy, "-c", f"from streamgauge.detectors import DETECTORS; DETECTORS['{DETECTOR}'](7, {{}}).layout.hash")
    settings = f"AggregatorSettings.model_fields; RULES['{RULE}'](np.ones((3, 2)), np.ones(3), {{}})"
    imports = "import numpy as np; from services.aggregator.settings import AggregatorSettings, RULES; "
    run(copy, "-c", imports + settings)


def test_one_file_makes_a_profile(copy: Path) -> None:
    code = "from streamgauge.profiles.profile import bundled_profiles, load_profile;"
    shown = run(copy, "-c", code + "print(bundled_profiles(), load_profile('press').name)")
    assert shown.split()[-1] == "press"
    assert "'press'" in shown
