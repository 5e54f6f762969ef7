"""Paper 2: autoencoder and k-means over nodes with unlike features."""

from __future__ import annotations

from benchmarks.quality.paper2.five import (
    devices_section,
    drift_section,
    explaining_section,
    family_section,
    longer_section,
    main_section,
)
from benchmarks.quality.paper2.others import ton_section
from benchmarks.quality.paper2.report import extra, plot
from benchmarks.quality.paper2.transfer_rows import transfer_section
from benchmarks.quality.table import TABLES, Table


@TABLES.register("paper2")
def paper2() -> Table:
    """The table."""
    return Table(
        "paper2",
        "Paper 2: autoencoder and k-means over unlike nodes",
        (
            main_section(),
            longer_section(),
            devices_section(),
            transfer_section(),
            family_section(),
            ton_section(),
            explaining_section(),
            drift_section(),
        ),
        remarks=(
            "The paper's headline is on CICIoT-DIAD-2024, which is not at hand; the same rows on one's own copy: "
            "`streamgauge bench paper2 --diad PATH`.",
            "CICIoT2023 here is three public samples, 24,330 distinct records, not the full set.",
            "Privacy: a federated row's raw records stay on their nodes. The paper's text promises that much, "
            "names differential privacy among emerging methods and describes none: no noise, clipping or "
            "encryption, and no figure. So no row here is about privacy. The server sees what a node sends as "
            "it is: weights, record counts, and the sums behind scaler, clusters and statistics. What these give "
            "away was not measured.",
            'An F1 near that of "always alarm" says little; ROC-AUC and the recall at the false alarms realised '
            "say more.",
        ),
        extra=extra,
        plot=plot,
    )
