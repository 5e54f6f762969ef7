"""Paper 1's Table 1 on SWaT, which only its owner gives out."""

from __future__ import annotations

from pathlib import Path

from benchmarks.quality.own_data import OWN, Own
from benchmarks.quality.paper1.nodes import Sizes, pools
from benchmarks.quality.paper1.report import extra
from benchmarks.quality.paper1.rules import MAIN
from benchmarks.quality.paper1.sections import section, variants
from benchmarks.quality.paper1.stages import stage_section
from benchmarks.quality.table import Table
from benchmarks.quality.tables.paper1 import REMARKS

SIZES = Sizes((2000, 500), (1000, 300))


def table(sizes: Sizes = SIZES) -> Table:
    """Time blocks and stages, strict and random."""
    sections = (
        section("swat", "strict", MAIN, sizes),
        section("swat", "random", MAIN, sizes),
        variants("swat", sizes),
        stage_section("strict", sizes),
        stage_section("random", sizes),
    )
    return Table("paper1-swat", "Paper 1: federated contrastive learning on SWaT", sections, REMARKS[:2], extra)


def check(path: Path) -> None:
    """Both divisions can be made of the files."""
    pools("swat", "strict", path)
    pools("swat", "random", path)


OWN.register("paper1")(Own("swat", "SWaT's Normal and Attack workbooks saved as CSV", table, check))
