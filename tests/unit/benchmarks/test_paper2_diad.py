"""CIC IoT-DIAD 2024 from a user's folder as five nodes, split by file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks.quality.own_data import run
from benchmarks.quality.paper2.diad import SHARED, diad_nodes
from benchmarks.quality.paper2.others import diad_section
from services.bench import main
from streamgauge.errors import ConfigurationError
from tests.support.dataset_files import DIAD_HEADER, diad_line


def write(folder: Path, files: int = 5) -> None:
    """Files of normal flows, each with its own rates, and two of attacks."""
    named = {f"Benign/{i}.csv": 100 * i for i in range(files)} | {"DDoS/1.csv": 10_000, "Recon/1.csv": 20_000}
    for name, rate in named.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\n".join([DIAD_HEADER, *(diad_line(str(rate + i)) for i in range(30)), b""]))


def test_files_of_normal_flows_train_or_test_never_both(tmp_path: Path) -> None:
    write(tmp_path)
    nodes = diad_nodes(tmp_path, 0)
    assert len(nodes) == 5
    assert {node.columns[:SHARED] for node in nodes} == {nodes[0].columns[:SHARED]}
    (rated,) = [node for node in nodes if "flow_bytes_per_s" in node.columns[SHARED:]] or nodes[:1]
    place = rated.columns.index("flow_bytes_per_s")
    files = {part: np.floor(np.expm1(getattr(rated, part)[:, place]) / 100 + 1e-3) for part in ("train", "held")}
    assert not set(files["train"].tolist()) & set(files["held"].tolist())
    assert sum(len(node.train) for node in nodes) == 90
    assert set(rated.families[rated.truth].tolist()) == {"DDoS", "Recon"}


def test_too_few_files_of_normal_flows_are_refused(tmp_path: Path) -> None:
    write(tmp_path, files=2)
    with pytest.raises(ConfigurationError, match="2 files of normal flows and 60 attacks; three such files"):
        diad_nodes(tmp_path, 0)


def test_the_section_has_the_main_rows_and_the_parts() -> None:
    keys = [row.key for row in diad_section().rows]
    assert {"diad", "diad-central", "diad-kmeans", "diad-alignment", "diad-distance"} <= set(keys)


def test_the_command_runs_a_row_on_one_s_own_folder(tmp_path: Path) -> None:
    write(tmp_path / "diad")
    out = tmp_path / "out"
    code = run("paper2", {"diad": tmp_path / "diad"}, 1, out, Console(stderr=True), "diad-kmeans")
    assert code == 0
    assert list(out.glob("runs-*/**/*.json"))


def test_a_wrong_folder_is_said_once_and_no_row_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "diad", files=2)
    assert main("paper2", {"diad": tmp_path / "diad"}, 5, tmp_path / "out") == 2
    assert capsys.readouterr().err.count("three such files") == 1
    assert not (tmp_path / "out").exists()


def test_the_folder_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="paper2 needs --diad PATH"):
        run("paper2", {"diad": None}, 1, tmp_path, Console(stderr=True))
