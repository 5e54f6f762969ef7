"""Loaders: every quirk of every public data set, and errors that say what to do."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from streamgauge.errors import ConfigurationError, DataError, UnknownNameError
from streamgauge.profiles.columns import time_parser
from streamgauge.profiles.loaders import LOADERS, Table, load
from streamgauge.profiles.loaders.ciciot2023 import FAMILIES, family_of
from streamgauge.profiles.loaders.own_file import load_own
from streamgauge.profiles.loaders.swat import stage_of
from streamgauge.profiles.loaders.ton_iot import DEVICES
from streamgauge.profiles.profile import bundled_profiles, load_profile
from tests.support.dataset_files import (
    BATADAL04,
    BOM,
    DIAD,
    DIAD_HEADER,
    FILES,
    SKAB_RUN,
    SWAT_ATTACK,
    SWAT_NORMAL,
    SWAT_TAGS,
    diad_line,
    swat_text,
    write_dataset,
)


def loaded(name: str, folder: Path, *, files: list[str] | None = None) -> Table:
    return load(name, write_dataset(name, folder), files=files or ())


def numbers(table: Table, column: str) -> list[float]:
    values: list[float] = table.columns[column].tolist()
    return values


def test_every_data_set_has_a_profile_and_sample_lines() -> None:
    live = {name for name in bundled_profiles() if load_profile(name).label is None}  # collectors', without files
    assert set(LOADERS) == set(FILES) == set(bundled_profiles()) - live
    assert "zeek-conn" in live


@pytest.mark.parametrize("name", sorted(FILES))
def test_tables_hold_the_profiles_columns_in_its_types(name: str, tmp_path: Path) -> None:
    table, profile = loaded(name, tmp_path), load_profile(name)
    assert table.name == name
    assert [n for n, c in table.columns.items() if c.dtype == np.float64] == [f.field for f in profile.numeric]
    assert {f.field for f in profile.categorical} <= set(table.columns)
    assert table.labels.dtype == np.float32
    for normal, kind in zip(table.labels.tolist(), table.attack_types.tolist(), strict=True):
        assert kind == ("normal" if normal == 0 else "") or normal == 1
    assert not any(np.isinf(table.matrix([f.field for f in profile.numeric])).ravel())
    kept = table.take(np.array([0]))
    assert (len(kept), kept.sources[0]) == (1, table.sources[0])


def test_nsl_kdd_is_train_and_test_without_a_header(tmp_path: Path) -> None:
    table = loaded("nsl-kdd", tmp_path)
    assert table.sources.tolist() == ["KDDTest+.txt", "KDDTrain+.txt", "KDDTrain+.txt"]
    assert table.attack_types.tolist() == ["neptune", "normal", "normal"]
    assert table.entities.tolist() == ["private", "ftp_data", "other"]
    assert numbers(table, "src_bytes") == [0, 491, 146]
    assert np.isnan(table.times).all()
    assert len(load("nsl_kdd", tmp_path, files=["kddtest-21*"])) == 1


def test_a_file_with_a_header_of_ones_own_loads_too(tmp_path: Path) -> None:
    write_dataset("nsl-kdd", tmp_path)
    path = tmp_path / "KDDTest+.txt"
    path.write_bytes(b"duration,protocol_type,service\n" + path.read_bytes())
    assert len(load("nsl-kdd", path)) == 1


def test_kdd99_labels_end_with_a_full_stop(tmp_path: Path) -> None:
    table = loaded("kdd99", tmp_path, files=["corrected"])
    assert table.attack_types.tolist() == ["normal", "smurf"]
    assert table.columns["service"].tolist() == ["private", "icmp"]


def test_kdd99_shares_the_feature_schema_of_nsl_kdd() -> None:
    assert load_profile("kdd99").schema.hash == load_profile("nsl-kdd").schema.hash


def test_unsw_nb15_begins_with_a_byte_order_mark(tmp_path: Path) -> None:
    table = loaded("unsw-nb15", tmp_path)
    assert table.attack_types.tolist() == ["normal", "Exploits"]
    assert table.columns["service"].tolist() == ["-", "-"]
    assert numbers(table, "rate") == [90909.0902, 111111.1072]
    assert "id" not in table.columns


def test_ciciot2023_spells_an_attack_in_one_way(tmp_path: Path) -> None:
    table = loaded("ciciot2023", tmp_path)
    kinds = table.attack_types.tolist()
    assert kinds[:3] == ["MITM-ArpSpoofing", "normal", "DDoS-UDP_Flood"]
    assert kinds[3:] == ["normal", "DDoS-UDP_Flood", "Uploading_Attack", "normal", "DDoS"]
    assert [family_of(kind) for kind in kinds[:4]] == ["Spoofing", "normal", "DDoS", "normal"]
    assert sum(map(len, FAMILIES.values())) == 33 + 3
    assert len(table.columns) == 39


def test_ciciot2023_of_46_features_comes_in_parts(tmp_path: Path) -> None:
    table = loaded("ciciot2023-46", tmp_path)
    assert table.sources.tolist() == ["part-00000-363d1ba3.csv"] * 2 + ["part-00001-363d1ba3.csv"]
    assert table.attack_types.tolist() == ["normal", "DDoS-RSTFINFlood", "Mirai-greeth_flood"]
    assert len(table.columns) == 46


def test_a_release_of_other_columns_is_refused_by_name(tmp_path: Path) -> None:
    write_dataset("ciciot2023", tmp_path)
    with pytest.raises(DataError, match=r"a\.csv: lacks the columns Duration, .* of data set 'ciciot2023-46'"):
        load("ciciot2023-46", tmp_path)


def test_ciciot2022_is_read_out_of_its_archive(tmp_path: Path) -> None:
    table = loaded("ciciot2022", tmp_path)
    assert table.entities.tolist() == ["roomba", "sonos"]
    assert table.sources.tolist() == ["roomba/roombaON_1.csv", "sonos/sonos_2.csv"]
    assert table.times.tolist() == [1633693207.332755] * 2
    assert numbers(table, "ttl") == [0.5, 0.5]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["devices.tar.xz"], "nothing is extracted"


def test_common_features_of_the_ciciot_data_sets_are_shared() -> None:
    features = {
        n: {f.feature for f in load_profile(n).numeric} for n in ("ciciot2022", "ciciot2023", "ciciot2023-46")
    }
    common = set.intersection(*features.values())
    assert {f.name for f in common} == {"time_to_live", "protocol", "tcp", "udp", "http", "https", "dns", "arp"}
    flows = [{f.feature for f in load_profile(n).numeric} for n in ("cic-ids2017", "ciciot-diad2024")]
    assert len(flows[0] & flows[1]) == 77


def test_diad2024_takes_the_label_from_the_folder_and_mends_headers(tmp_path: Path) -> None:
    assert (len(DIAD), DIAD[0], DIAD[-1]) == (84, "Flow ID", "Label")
    table = loaded("ciciot-diad2024", tmp_path)
    assert table.attack_types.tolist() == ["normal", "normal", "DDoS", "DDoS", "Web-Based"]
    rates = table.columns["Flow Bytes/s"]
    np.testing.assert_array_equal(rates, [12.5, math.nan, math.nan, 12.5, 12.5])
    assert table.left_out == {"DDoS/UDP Flood/2.csv": 1}
    assert table.entities.tolist() == ["192.168.137.41"] * 5
    assert table.times.tolist() == [1663078018.0] * 5
    assert {"Flow ID", "Src IP", "Timestamp", "Label"}.isdisjoint(table.columns)


def test_diad2024_without_folders_of_families_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(DIAD_HEADER + b"\n" + diad_line() + b"\n")
    with pytest.raises(DataError, match=r"x\.csv: its folder is its label and must be one of Benign, BruteForce"):
        load("ciciot-diad2024", tmp_path)


def test_cic_ids2017_quirks(tmp_path: Path) -> None:
    table = loaded("cic-ids2017", tmp_path)
    assert table.attack_types.tolist() == ["normal", "DoS Hulk", "Web Attack - XSS"], "the empty row is left out"
    np.testing.assert_array_equal(table.columns["Flow Bytes/s"], [56000, math.nan, math.nan])
    np.testing.assert_array_equal(table.columns["Flow Packets/s"], [7, math.nan, math.nan])
    assert len(table.columns) == 77


def test_cic_ids2017_copies_with_a_replacement_character(tmp_path: Path) -> None:
    write_dataset("cic-ids2017", tmp_path)
    path = tmp_path / "Thursday.csv"
    path.write_bytes(path.read_bytes().replace(b"\x96", "\ufffd".encode()))
    assert load("cic-ids2017", tmp_path).attack_types.tolist()[2] == "Web Attack - XSS"


def test_ton_iot_cells_lose_the_blanks_that_give_the_label_away(tmp_path: Path) -> None:
    table = loaded("ton-iot-fridge", tmp_path)
    assert table.columns["temp_condition"].tolist() == ["high", "high", "low"]
    assert table.attack_types.tolist() == ["ddos", "normal", "normal"]
    assert table.times.tolist() == [1556219980.0, 1554035956.0, 1554177710.0]
    assert "time" not in table.columns


def test_ton_iot_switches_do_not_give_the_label_away(tmp_path: Path) -> None:
    table = loaded("ton-iot-garage-door", tmp_path)
    assert table.columns["sphone_signal"].tolist() == ["false", "false", "true", "true"]


def test_ton_iot_has_a_data_set_a_device() -> None:
    assert {f"ton-iot-{device}" for device in DEVICES} == {name for name in LOADERS if name.startswith("ton-iot")}
    assert len(DEVICES) == 7


def test_skab_runs_are_entities_in_natural_order(tmp_path: Path) -> None:
    table = loaded("skab", tmp_path)
    assert list(dict.fromkeys(table.entities)) == ["anomaly-free/anomaly-free", "valve1/2", "valve1/10"]
    assert table.labels.tolist() == [0, 0, 1, 0, 1]
    assert table.times[1] == 1583748873.0
    assert table.columns["Volume Flow RateRMS"][0] == 123


def test_batadal_minus_999_is_not_labelled_and_not_normal(tmp_path: Path) -> None:
    table = loaded("batadal", tmp_path)
    np.testing.assert_array_equal(table.labels, np.array([0, math.nan, 1, 0, 1], np.float32))
    assert table.attack_types.tolist() == ["normal", "", "attack", "normal", "attack8"]
    days = [np.datetime64(int(t), "s").item().strftime("%Y-%m-%d %H") for t in table.times]
    assert days == ["2014-01-06 00", "2016-07-04 00", "2016-09-14 03", "2017-01-04 00", "2017-01-16 09"]


def test_swat_as_its_workbooks_become_as_csv(tmp_path: Path) -> None:
    table = loaded("swat", tmp_path)
    assert len(SWAT_TAGS) == len(table.columns) == 51
    assert [stage_of(tag) for tag in ("FIT101", "DPIT301", "P603")] == [1, 3, 6]
    assert table.attack_types.tolist() == ["normal", "attack", "attack", "normal", "normal"]
    days = [np.datetime64(int(t), "s").item().strftime("%Y-%m-%d %H:%M:%S") for t in table.times]
    assert days[:3] == ["2015-12-28 10:00:00", "2015-12-28 10:29:14", "2016-01-02 13:41:10"]
    assert days[3:] == ["2015-12-22 16:30:00", "2015-12-22 16:30:01"]
    assert table.matrix(SWAT_TAGS)[0].tolist() == [0.25 + i for i in range(51)], "decimal commas"
    assert table.matrix(SWAT_TAGS)[3].tolist() == [0.25 + i for i in range(51)], "decimal points"


def test_swat_under_other_names_and_without_stages(tmp_path: Path) -> None:
    (tmp_path / "normal.csv").write_bytes(swat_text([("22/12/2015 4:30:00 PM", "Normal")], stages=False))
    assert load("swat", tmp_path).labels.tolist() == [0]


REFUSED = {
    "not a time": ("batadal", BATADAL04.replace(b"04/07/16 00", b"2016 July"), "'2016 July' is not a time like"),
    "not a number": ("batadal", BATADAL04.replace(b" 2.44", b" two"), "column 'L_T1': .*'two'|column 'L_T1'"),
    "a short line": ("batadal", BATADAL04 + b"05/07/16 00, 1\n", "Expected 45 columns, got 2"),
    "empty": ("batadal", b"", "is empty; fetch it again"),
    "a workbook": ("swat", b"PK\x03\x04....", "is a workbook or zip archive; save or unpack it as CSV"),
    "UTF-16": ("swat", SWAT_NORMAL.decode().encode("utf-16"), "is UTF-16; save it as UTF-8"),
    "no header": ("swat", SWAT_ATTACK.replace(b"Timestamp", b"Time"), "no header with the column 'Timestamp'"),
    "another data set": ("unsw-nb15", BATADAL04, "no header with the column 'attack_cat'"),
    "a column missing": (
        "skab",
        SKAB_RUN.replace(b"Voltage", b"V"),
        "lacks the columns Voltage of data set 'skab'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_broken_files_are_refused_by_name(case: str, tmp_path: Path) -> None:
    name, data, message = REFUSED[case]
    path = tmp_path / "some.csv"
    path.write_bytes(data)
    with pytest.raises(DataError, match=f"file some.csv: .*({message})"):
        load(name, path)


def test_a_damaged_archive_is_refused_by_name(tmp_path: Path) -> None:
    write_dataset("ciciot2022", tmp_path)
    path = tmp_path / "devices.tar.xz"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"devices\.tar\.xz: cannot be read or unpacked"):
        load("ciciot2022", tmp_path)
    (tmp_path / "KDDTest+.txt.gz").write_bytes(b"not gzip")
    with pytest.raises(DataError, match=r"KDDTest\+\.txt\.gz: cannot be read or unpacked: .*; fetch it again"):
        load("nsl-kdd", tmp_path)


def test_missing_folders_and_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no folder; give the one that holds the files, or 'skab'"):
        load("skab", tmp_path / "nowhere")
    (tmp_path / "SWaT_Dataset_Normal_v1.xlsx").write_bytes(b"PK")
    with pytest.raises(
        DataError, match=r"no file like .*\*\.csv \(plain, \.gz or \.xz\), but SWaT_Dataset_Normal_v1\.xlsx"
    ):
        load("swat", tmp_path)
    with pytest.raises(UnknownNameError, match="unknown data set 'nsl'; known: batadal"):
        load("nsl", tmp_path)


def test_a_folder_of_folders_will_do(tmp_path: Path) -> None:
    write_dataset("batadal", tmp_path / "batadal")
    write_dataset("skab", tmp_path / "skab")
    assert len(load("batadal", tmp_path)) == 5
    assert len(load("skab", tmp_path)) == 5


def test_a_file_of_a_header_alone_is_an_empty_table(tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    path.write_bytes(BOM + SKAB_RUN.partition(b"\n")[0] + b"\n")
    table = load("skab", path)
    assert (len(table), table.matrix(["Voltage"]).shape) == (0, (0, 1))


def test_a_matrix_needs_columns_of_numbers(tmp_path: Path) -> None:
    table = loaded("ton-iot-fridge", tmp_path)
    assert table.matrix(["fridge_temperature"]).tolist() == [[9], [12.7], [2]]
    assert table.matrix([]).shape == (3, 0)
    with pytest.raises(
        DataError, match="'temp_condition' is not a column of numbers; those are fridge_temperature"
    ):
        table.matrix(["temp_condition"])


def test_archives_are_opened_only_where_no_plain_file_matches(tmp_path: Path) -> None:
    write_dataset("skab", tmp_path)
    (tmp_path / "backup.tar.xz").write_bytes(b"damaged")
    assert len(load("skab", tmp_path)) == 5


def test_without_pyarrow_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'streamgauge\[data\]'"):
        loaded("skab", tmp_path)


def test_the_decoder_takes_times_with_blanks_around() -> None:
    parse = time_parser("strptime:%d/%m/%Y %I:%M:%S %p")
    assert parse(" 28/12/2015 10:00:00 AM") == 1451296800.0
    with pytest.raises(TypeError):
        parse(28)


def test_a_header_that_no_csv_file_has_is_named(tmp_path: Path) -> None:
    path = tmp_path / "binary.csv"
    path.write_bytes(b"a,b\rc,\x00\r\xffd\n1,2\n")
    with pytest.raises(DataError):
        load_own(path, load_profile("skab"))
