"""The backtest: the same alerts as a node's, sensible numbers, and a page that needs nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from services.backtest.chain import run_chain
from services.backtest.fitting import training_rows
from services.backtest.main import Request, backtest, main
from services.backtest.records import read_table, records_of
from services.edge_node.scorer import Scorer
from services.runtime.log import Outgoing
from streamgauge.errors import ConfigurationError
from streamgauge.profiles.profile import load_profile
from tests.support.edge import edge_settings
from tests.support.offline import offline_pass
from tests.support.plant import plant_records, trained_bundle, write_profile
from tests.support.plant_file import said_by, said_by_run, write_csv


@pytest.fixture
def plant(tmp_path: Path) -> tuple[str, str]:
    """Profile and file: 4,000 records, attacks after a tenth."""
    profile, file = write_profile(tmp_path), write_csv(tmp_path / "plant.csv", plant_records(4000))
    return str(profile), str(file)


def test_the_alerts_are_those_of_a_node_on_the_same_records(plant: tuple[str, str], tmp_path: Path) -> None:
    profile = load_profile(plant[0])
    bundle = trained_bundle("autoencoder", profile.schema)
    bundle.save(tmp_path / "bundle")
    table = read_table([plant[1]], profile)
    settings = edge_settings(tmp_path / "state", Path(plant[0]), pinned_bundle=tmp_path / "bundle")
    run = run_chain(table, profile, Scorer(bundle, profile.schema), settings.alerts.policy(), lambda _: None)
    sent = [Outgoing("records", r.key, r.value, (), 0, r.timestamp) for r in records_of(table, profile, 0)]
    node = offline_pass(settings, sent, 1, "id")
    assert len(run.alerts) > 20
    assert said_by_run(run) == said_by(node.alerts.values())
    assert not run.rejected


def test_a_plant_that_misbehaves_is_found_and_told(plant: tuple[str, str], tmp_path: Path) -> None:
    answer = backtest(Request(plant[0], [plant[1]]))
    numbers, attacks = answer.measured.numbers, answer.measured.attacks
    assert numbers["auc"] > 0.97
    assert numbers["recall"] > 0.8
    assert numbers["f1"] > 2 * numbers["always_alarm_f1"]
    assert numbers["events_found"] >= 0.9 * numbers["events"] == 0.9 * len(attacks)
    found = [attack for attack in attacks if attack.found]
    assert all(attack.delay_s is not None and attack.delay_s >= 0 for attack in found)
    assert {attack.type for attack in attacks} == {"bad"} or {attack.type for attack in attacks} == {"attack"}
    assert list(answer.measured.telling)[:2] in (["flow", "pressure"], ["pressure", "flow"])


def test_the_page_needs_nothing_else_and_the_numbers_lie_beside(
    plant: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.html"
    assert main(Request(plant[0], [plant[1]], detector="pca", train="1000", out=out)) == 0
    page, kept = out.read_text(), json.loads(out.with_suffix(".json").read_text())
    assert not re.search(r"<script|<link|<img|src=|https?:|url\(|@import", page)
    assert page.count("<svg") >= 3
    assert 'class="attack"' in page
    assert kept["records"] == 3000 == kept["scored"]
    assert kept["trained_on_rows"] == 1000
    assert len(kept["attacks"]) == kept["events"]
    assert "recall" in capsys.readouterr().out


def test_which_rows_are_trained_on(plant: tuple[str, str]) -> None:
    table = read_table([plant[1]], load_profile(plant[0]))
    first_bad = int(np.flatnonzero(table.labels == 1)[0])
    assert training_rows(table, None).sum() == first_bad
    assert training_rows(table, "500").sum() == 500
    assert training_rows(table, "2025-06-15T15:10:00").sum() == 200
    each = training_rows(table, "each:100")
    assert each.sum() == 600
    assert set(table.entities[each]) == set(table.entities)
    for text, said in (("50", "50 of 4000 records"), ("4000", "4000 of 4000"), ("soon", "--train soon: write")):
        with pytest.raises(ConfigurationError, match=said):
            training_rows(table, text)


def test_what_is_wrong_is_one_line(
    plant: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(Request(plant[0], ["nowhere.csv"])) == 2
    assert main(Request(plant[0], [plant[1]], bundle=tmp_path / "none")) == 2
    assert main(Request(plant[0], [plant[1]], out=tmp_path / "no" / "x.html")) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 3
    assert "no such file or folder" in lines[0]
    assert "cannot be read" in lines[1]
    assert "give a file in a folder that exists" in lines[2]
