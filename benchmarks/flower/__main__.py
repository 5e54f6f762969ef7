"""`make bench-flower`: writes docs/results/quality/flower.json and .md, and flower_speed.json and .md."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.flower.compare import compare
from benchmarks.flower.report import write, write_speed
from benchmarks.flower.speed import compare_speed

PARTS = ("rules", "speed")


def main() -> None:
    """Measure one part or both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", type=Path, required=True, help="interpreter of Flower's environment")
    parser.add_argument("--out", type=Path, default=Path("docs/results/quality"))
    parser.add_argument("--only", choices=PARTS, help="rules on the same inputs, or wall time of a round")
    parser.add_argument("--data", type=Path, help="folder with the data sets, for the wall time")
    arguments = parser.parse_args()
    wanted = (arguments.only,) if arguments.only else PARTS
    if "rules" in wanted:
        write(arguments.out, compare(arguments.python))
    if "speed" in wanted:
        write_speed(arguments.out, compare_speed(arguments.python, arguments.data))


if __name__ == "__main__":
    main()
