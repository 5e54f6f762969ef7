"""The backtest: the same alerts as a node's, sensible numbers, and a page that needs nothing else."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from services.backtest.choosing import Choice, survey
from services.backtest.main import Request, backtest, main
from services.backtest.records import Recording, records_of
from services.edge_node.settings import EdgeSettings
from services.runtime.log import Outgoing
from streamgauge.errors import ConfigurationError
from streamgauge.profiles.loaders.table import concatenated
from streamgauge.profiles.profile import Profile, load_profile
from tests.support.edge import edge_settings
from tests.support.offline import offline_pass
from tests.support.plant import LONG_PROFILE, plant_records, trained_bundle, write_profile
from tests.support.plant_file import Said, said_by, said_by_chain, write_csv


@pytest.fixture
def plant(tmp_path: Path) -> tuple[str, str]:
    """Profile and file: 4,000 records, attacks after a tenth."""
    profile, file = write_profile(tmp_path), write_csv(tmp_path / "plant.csv", plant_records(4000))
    return str(profile), str(file)


def by_a_node(settings: EdgeSettings, file: Path, profile: Profile) -> Said:
    with Recording([str(file)], profile) as recording:
        whole = concatenated(recording.tables())
    records, _ = records_of(whole, profile, 0)
    sent = [Outgoing("records", r.key, r.value, (), 0, r.timestamp) for r in records]
    return said_by(offline_pass(settings, sent, 1, "id").alerts.values())


def test_the_alerts_are_those_of_a_node_on_the_same_records(plant: tuple[str, str], tmp_path: Path) -> None:
    profile, file = load_profile(plant[0]), Path(plant[1])
    bundle = trained_bundle("autoencoder", profile.schema)
    bundle.save(tmp_path / "bundle")
    settings = edge_settings(tmp_path / "state", Path(plant[0]), pinned_bundle=tmp_path / "bundle")
    said = said_by_chain(file, profile, bundle, settings.alerts.policy())
    assert len(said) > 20
    assert said == by_a_node(settings, file, profile)


@pytest.mark.parametrize("kind", ["wide", "long"])
def test_one_tag_a_message_gives_a_nodes_alerts_from_either_kind_of_file(
    plant: tuple[str, str], tmp_path: Path, kind: str
) -> None:
    """The last records are normal: a node waits for more where a backtest knows that there is none."""
    (path := tmp_path / "long.toml").write_text(LONG_PROFILE)
    profile, file = load_profile(path), Path(plant[1])
    assert profile.long is not None
    if kind == "long":
        file = long_copy(file, tmp_path / "long.csv", profile)
    bundle = trained_bundle("autoencoder", profile.schema)
    bundle.save(tmp_path / "bundle")
    settings = edge_settings(tmp_path / "state", path, pinned_bundle=tmp_path / "bundle")
    said = said_by_chain(file, profile, bundle, settings.alerts.policy())
    assert len(said) > 20
    assert said == by_a_node(settings, file, profile)
    wide = said_by_chain(Path(plant[1]), load_profile(plant[0]), bundle, settings.alerts.policy())
    assert said == wide, "each record's tags come within its tick"
    answer = backtest(Request(str(path), [str(file)], detector="pca"))
    assert answer.measured.numbers["auc"] > 0.9
    assert {attack.type for attack in answer.measured.attacks} <= {"bad", "attack"}


def long_copy(file: Path, copy: Path, profile: Profile) -> Path:
    """One tag a line."""
    tags = [f.field for f in profile.numeric] + [f.field for f in profile.categorical]
    with file.open() as rows, copy.open("w", newline="") as out:
        reader = csv.DictReader(rows)
        others = [name for name in reader.fieldnames or () if name not in tags]
        writer = csv.DictWriter(out, [*others, "tag", "value"])
        writer.writeheader()
        for row in reader:
            writer.writerows(
                {**{name: row[name] for name in others}, "tag": tag, "value": row[tag]} for tag in tags
            )
    return copy


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
    with Recording([plant[1]], load_profile(plant[0])) as recording:
        table = concatenated(recording.tables())
    known = survey([table])
    assert known.rows == 4000

    def trained(text: str | None, size: int) -> NDArray[np.bool_]:
        choice = Choice(text, known)
        return np.concatenate([choice.of(table.part(low, low + size)) for low in range(0, len(table), size)])

    for size in (4000, 37):
        assert trained(None, size).sum() == known.first_abnormal
        assert trained("500", size).sum() == 500
        assert trained("2025-06-15T15:10:00", size).sum() == 200
        each = trained("each:100", size)
        assert each.sum() == 600
        assert set(table.entities[each]) == set(table.entities)
    for text, said in (("50", "50 of 4000 records"), ("4000", "4000 of 4000"), ("soon", "--train soon: write")):
        with pytest.raises(ConfigurationError, match=said):
            backtest(Request(*plant[:1], [plant[1]], train=text))


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
