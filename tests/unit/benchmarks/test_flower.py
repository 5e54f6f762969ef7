"""The report on wall time beside Flower's; its measurement is no test."""

from __future__ import annotations

from pathlib import Path

from benchmarks.flower.report import write_speed


def test_wall_times_stand_beside_each_other_with_their_ratio(tmp_path: Path) -> None:
    spread = {"median": 0.5, "least": 0.4, "most": 0.75}
    ours = {"round_s": spread, "training_s": spread, "whole_s": 11.0, "accuracy": 0.98}
    theirs = ours | {"round_s": {"median": 1.0, "least": 0.9, "most": 1.5}, "learning_s": spread, "whole_s": 30.0}
    machine = {"date": "d", "commit": "c", "cores": 2, "cpu": "x", "python": "3", "versions": {"torch": "2"}}
    machine |= {"load_before": 0.5, "load_after": 2.0}
    sizes = {"clients": 10, "rounds": 20, "seed": 0}

    result = {
        "machine": machine,
        "flower": "9",
        "sizes": sizes,
        "training_rows": 9,
        "ours": ours,
        "theirs": theirs,
    }
    write_speed(tmp_path, result)
    text = (tmp_path / "flower_speed.md").read_text()
    assert "0.50 (0.40 to 0.75) | 1.00 (0.90 to 1.50)" in text
    assert "2.0 times as long" in text

    write_speed(tmp_path, {**result, "machine": {**machine, "load_before": 5.0}})
    text = (tmp_path / "flower_speed.md").read_text()
    assert "times as long" not in text
    assert "no ratio can be told" in text
