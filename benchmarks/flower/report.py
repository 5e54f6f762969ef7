"""The comparison as JSON and as a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.machine import BUSY

HEAD = """<!-- Made by `make bench-flower`; do not edit. -->
# Federation rules beside Flower's

Flower {flower} merged the same {cases} inputs in an environment of its own; the numbers travelled as files.
Inputs: 3 to 20 nodes, 50 to 15,000 parameters, scales 0.0001 to 1000, deltas and whole weights, float32 and
float64, 5 draws each, and a part of the nodes is far off. Ours always merges in float64; Flower in the type that
travelled. A relative difference is a share of the largest absolute value of Flower's result.

| rule | travelled as | cases | same bits | largest difference | largest relative difference |
|---|---|---|---|---|---|
"""
TAIL = """
Krum: where two updates have equal scores ours averages them and Flower takes the first; of three nodes two always
tie, being each other's nearest. Trimmed mean: compared where the cut is a whole number of nodes; else ours rounds
it up and Flower's down. Multi-Krum: Flower's average weighs by records, ours counts every node alike; compared
with equal records.
"""


def write(out: Path, result: dict[str, Any]) -> None:
    """`flower.json` and `flower.md`."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "flower.json").write_text(json.dumps(result, indent=1) + "\n")
    lines = [
        f"| `{rule}` | {name} | {apart['cases']} | {apart['identical']} | {apart['largest']:.2g} "
        f"| {apart['largest_relative']:.2g} |\n"
        for rule, by in result["rules"].items()
        for name, apart in by.items()
    ]
    page = HEAD.format(**result) + "".join(lines) + TAIL
    (out / "flower.md").write_text(page)
    print(page)


SPEED = """<!-- Made by `make bench-flower`; do not edit. -->
# Wall time of a round beside Flower's simulation

{clients} clients x {rounds} rounds on NSL-KDD (KDDTrain+, drawn at random, {training_rows:,} training records
together), detector `mlp`, FedAvg of all clients, one epoch in batches of 128, seed {seed}. Flower {flower}
simulates with Ray in an environment of its own; its clients call this project's own `train` on the same rows from
the same initial weights, one torch thread each, one actor a core. Ours is `streamgauge simulate` in one process
on one torch thread, and so on one core. The first round does not count: code is loaded in it.

{date}, commit {commit}; {cores} cores ({cpu}), Python {python}, torch {torch}. Load average {before:.1f} before
and {after:.1f} after.

| | ours | Flower |
|---|---|---|
| a round, s: median (least to most) | {ours_round} | {their_round} |
| of it sending, training and merging, s | | {their_learning} |
| of it training, summed over the clients, s | {ours_training} | {their_training} |
| whole run with its start, s | {ours_whole:.1f} | {their_whole:.1f} |
| accuracy on the clients' own test rows after the last round | {ours_accuracy:.4f} | {their_accuracy:.4f} |

{verdict}

Ours measures every model on validation and test rows and finds thresholds; Flower's is measured on the test rows
alone. The seeds of the trainings differ, so the accuracies do a little.
"""


def write_speed(out: Path, result: dict[str, Any]) -> None:
    """`flower_speed.json` and `flower_speed.md`."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "flower_speed.json").write_text(json.dumps(result, indent=1) + "\n")
    ours, theirs, head = result["ours"], result["theirs"], result["machine"]
    page = SPEED.format(
        **result["sizes"],
        **{name: head[name] for name in ("date", "commit", "cores", "cpu", "python")},
        flower=result["flower"],
        training_rows=result["training_rows"],
        torch=head["versions"]["torch"],
        before=head["load_before"],
        after=head["load_after"],
        verdict=_verdict(result),
        ours_round=_spread(ours["round_s"]),
        ours_training=_spread(ours["training_s"]),
        ours_whole=ours["whole_s"],
        ours_accuracy=ours["accuracy"],
        their_round=_spread(theirs["round_s"]),
        their_learning=_spread(theirs["learning_s"]),
        their_training=_spread(theirs["training_s"]),
        their_whole=theirs["whole_s"],
        their_accuracy=theirs["accuracy"],
    )
    (out / "flower_speed.md").write_text(page)
    print(page)


def _verdict(result: dict[str, Any]) -> str:
    """The ratio, but not of a machine that others used: the two run one after the other, under different load."""
    head, medians = result["machine"], [result[side]["round_s"]["median"] for side in ("theirs", "ours")]
    if max(head["load_before"], head["load_after"] - head["cores"]) > BUSY:
        return "**Others used the machine, more in one run than in the other: no ratio can be told.**"
    return f"A round of Flower's is {medians[0] / medians[1]:.1f} times as long as ours."


def _spread(seconds: dict[str, float]) -> str:
    return f"{seconds['median']:.2f} ({seconds['least']:.2f} to {seconds['most']:.2f})"
