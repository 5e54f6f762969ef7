"""Paper 2's rows on CIC IoT-DIAD 2024, from one's own copy."""

from __future__ import annotations

from pathlib import Path

from benchmarks.quality.own_data import OWN, Own
from benchmarks.quality.paper2.diad import diad_nodes
from benchmarks.quality.paper2.others import diad_section
from benchmarks.quality.table import Table


def table() -> Table:
    """The main rows and the parts."""
    title = "Paper 2: autoencoder and k-means over unlike nodes, CIC IoT-DIAD 2024"
    return Table("paper2-diad", title, (diad_section(),))


def check(path: Path) -> None:
    """Nodes can be made of the files."""
    diad_nodes(path, 0)


OWN.register("paper2")(Own("diad", "the folder of CIC IoT-DIAD 2024 with a folder for each family", table, check))
