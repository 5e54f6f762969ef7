"""The benchmark's own arithmetic; its measurements are no tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed.__main__ import merged
from benchmarks.speed.detectors import live, scorings
from benchmarks.speed.latency import FIRST, delays_of
from benchmarks.speed.measures import expected_letters, with_ratios
from benchmarks.speed.report import write_report
from benchmarks.speed.report_detectors import detectors_plot, detectors_text
from benchmarks.speed.sensors import BAD, FIELDS, MACHINES, Stream, bad_kind, write_profile
from benchmarks.speed.site import PARTITIONS, total
from benchmarks.speed.stages import Message
from streamgauge.detectors import DETECTORS
from streamgauge.profiles.columnar import ColumnarDecoder
from streamgauge.profiles.decoder import Decoder
from streamgauge.profiles.profile import load_profile


def test_a_stream_is_the_same_each_time_and_fits_its_profile(tmp_path: Path) -> None:
    first, second = (list(Stream(0.1, first=50).records(300)) for _ in range(2))

    assert first == second
    key, value, _ = first[0]
    record = json.loads(value)
    assert key.decode() == record["machine"] == f"machine-{50 % MACHINES}"
    profile = load_profile(str(write_profile(tmp_path)))
    assert {f.field for f in profile.numeric} == set(FIELDS) == record.keys() - {"time", "machine"}
    assert 10 < sum(abnormal for _, _, abnormal in first) < 60


def test_bad_records_are_refused_for_the_reason_they_were_made_for(tmp_path: Path) -> None:
    profile = load_profile(str(write_profile(tmp_path)))
    records = [Message(key, value) for key, value, _ in Stream(bad=True).records(1000)]
    refused = {row.position: row.reason for row in Decoder(profile).decode(records).rejected}
    assert refused == {i: kind for i in range(1000) if (kind := bad_kind(i)) is not None}
    assert set(refused.values()) == set(BAD)
    letters = expected_letters("t", 1000)
    assert letters["t:3:24"] == bad_kind(99)
    assert sorted(letters.values()) == sorted(refused.values())


def test_streams_hold_the_same_records(tmp_path: Path) -> None:
    profile = load_profile(str(write_profile(tmp_path)))
    plain = Decoder(profile).decode([Message(key, value) for key, value, _ in Stream().records(1000)])
    sent = [(partition, Message(b"", value)) for partition, value, _ in Stream().messages(1000, 100, PARTITIONS)]
    columnar = ColumnarDecoder(profile).decode_messages([message for _, message in sent])
    order = np.lexsort((np.array(columnar.entities), columnar.times))
    expected = np.lexsort((np.array(plain.entities), plain.times.round(2)))
    np.testing.assert_array_equal(columnar.values[order], plain.values[expected])
    assert [columnar.entities[i] for i in order] == [plain.entities[i] for i in expected]
    machines = {(sent[int(k)][0], name) for k, name in zip(columnar.message, columnar.entities, strict=True)}
    assert all(int(name[8:]) % PARTITIONS == partition for partition, name in machines)


def test_a_metric_is_summed_over_its_series() -> None:
    text = 'n_total{topic="a",outcome="scored"} 3.0\nn_total{topic="b",outcome="scored"} 4.0\n'
    text += 'n_total{topic="a",outcome="rejected"} 1.0\nn_total_created 9.0\nm 2.0\n'
    assert [total(text, name) for name in ('n_total{outcome="scored"}', "n_total", "m", "q")] == [7, 8, 2, 0]


def test_delays_join_sent_and_acknowledged_by_partition_and_order(tmp_path: Path) -> None:
    n = 400
    sent, partition = 1000.0 + np.arange(n) * 0.02, np.arange(n) % PARTITIONS
    path = tmp_path / "load.npz"
    np.savez(path, sent=sent, partition=partition)
    each = FIRST // PARTITIONS
    offsets = [each + np.arange(n // PARTITIONS) for _ in range(PARTITIONS)]
    noted = {
        "partition": np.concatenate([np.repeat(k, each + n // PARTITIONS) for k in range(PARTITIONS)]),
        "offset": np.concatenate([np.concatenate([np.arange(each), later]) for later in offsets]),
        "acked": np.concatenate(
            [np.concatenate([np.zeros(each), sent[partition == k] + 0.005]) for k in range(PARTITIONS)]
        ),
    }
    loads = [{"rate": 50, "stamps": path, "late_s": 0.0, "trainer_cpu": 0.0}]

    (row,) = delays_of(noted, loads, training=False)

    assert row["records"] == n - 100  # the first two seconds do not count
    assert [row[name] for name in ("p50_ms", "p99_ms", "max_ms")] == pytest.approx([5.0, 5.0, 5.0])


def test_a_report_of_part_of_the_measurements_can_be_written(tmp_path: Path) -> None:
    speed = {"records_per_s": 10.0, "records_per_core_s": 20.0, "abnormal": 0.001}
    rows = with_ratios([{"what": "edge node", **speed, "records_per_s": 50.0}, {"what": "naive", **speed}])
    machine = {"date": "d", "commit": "c", "cores": 2, "cpu": "x", "memory_gib": 1, "system": "s", "python": "3"}
    machine |= {"versions": {"torch": "2"}, "load_before": 3.0, "load_after": 1.0}
    sizes = {"throughput": 1, "naive": 1, "river": 1, "latency_s": 1}
    brokers = {
        "kafka": {"name": "K", "throughput": rows, "failed": {"latency": "why"}},
        "embedded": {"skipped": "no"},
    }

    write_report({"machine": machine, "sizes": sizes, "quick": True, "brokers": brokers}, tmp_path)

    text = (tmp_path / "speed.md").read_text()
    assert "| edge node, everything on | 0.1% | 50 | 5.0 |" in text
    assert "shared: load average 3.0" in text
    assert "failed: latency: why" in text
    assert (tmp_path / "speed.png").stat().st_size > 1000


def test_measurements_made_again_take_the_place_of_the_old_ones() -> None:
    head = {"date": "new", "commit": "c", "load_before": 1.0, "load_after": 1.0}
    kept = {"brokers": {"kafka": {"name": "K", "latency": [1], "start": 2, "failed": {"training": "late"}}}}

    result = merged(kept, {"machine": head, "brokers": {"kafka": {"name": "K", "training": [3]}}})

    assert result["brokers"]["kafka"] == {
        "name": "K", "latency": [1], "start": 2, "training": [3], "again": {"training": head}
    }  # fmt: skip


def test_costs_of_detectors_stand_beside_their_targets(tmp_path: Path) -> None:
    rows = [
        {"detector": "lstm", "scoring_us": {"one entity": {"1": 90.0, "256": 1.9}}, "epoch_s": {"no labels": 0.4}},
        {"detector": "mlp", "scoring_us": {"rows": {"1": 30.0, "256": 0.5}}, "epoch_s": {"no labels": 0.12}},
    ]
    head = {"date": "d", "commit": "c", "load_before": 0.1}

    text = "\n".join(detectors_text({"measured": head, "rows": rows}))
    detectors_plot(rows, tmp_path / "plot.png")

    assert "| lstm | one entity | 90.00 | 1.90 |" in text
    assert "one entity, 256: 1.9 us (met)" in text
    assert "no labels: 0.12 s (missed)" in text
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_every_detector_can_be_measured() -> None:
    """What the benchmark feeds it is scored, in order and at every size of a poll."""
    x = np.random.default_rng(0).normal(size=(2_000, 5)).astype(np.float32)
    for name in live():
        detector = DETECTORS[name](5, {})
        for score in scorings(detector, x).values():
            for size in (1, 256):
                score(0, size)
    assert set(live()) >= {"autoencoder", "lstm", "mlp", "pca"}
