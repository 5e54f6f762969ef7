"""The section on transfer from CICIoT2022 to CICIoT2023."""

from __future__ import annotations

from benchmarks.quality.columns import ALWAYS, AT_RATE
from benchmarks.quality.paper2.ciciot import COMMON, DEVICES
from benchmarks.quality.paper2.rows import EFFORT, LABELS, TUNING, row
from benchmarks.quality.paper2.transfer import DEVICES as DEVICES_LINE
from benchmarks.quality.paper2.transfer import (
    TARGET,
    Fit,
    federated_devices,
    pooled_baseline,
    pooled_devices,
    target,
    transfer_run,
)
from benchmarks.quality.table import Context, Outcome, Protocol, Row, Section


def transfer_section() -> Section:
    """Two thresholds; one row that learned on CICIoT2023 itself."""
    federated = federated_devices(EFFORT)
    fits: dict[str, tuple[str, Fit]] = {
        "federated": ("federated on 2022's devices", federated),
        "zscore": ("z-score of 2022's devices, central", pooled_baseline("zscore", pooled_devices)),
        "kmeans": ("k-means of 2022's devices, central", pooled_baseline("kmeans", pooled_devices)),
        "isolation_forest": (
            "isolation forest of 2022's devices, central",
            pooled_baseline("isolation_forest", pooled_devices),
        ),
    }
    rows = []
    for line, where in ((DEVICES_LINE, "threshold of 2022's held-out records"), (TARGET, "threshold of 2023's")):
        for key, (label, fit) in fits.items():
            rows.append(_transfer_row(f"transfer-{key}-{line}", f"{label}, {where}", fit, line))
    rows.append(
        _transfer_row(
            "transfer-none", "k-means of 2023's normals, central", pooled_baseline("kmeans", target), TARGET
        )
    )
    return Section(
        "Transfer: learned on CICIoT2022, tested on CICIoT2023",
        Protocol(
            "strict",
            f"trained on normal records of {DEVICES} devices of CICIoT2022, tested on the test records above; the "
            f"{len(COMMON)} common columns only",
            LABELS,
            "95 % quantile of held-out normal records of 2022, or of 2023 (then only the model is transferred)",
            TUNING,
        ),
        (*AT_RATE, ALWAYS),
        tuple(rows),
    )


def _transfer_row(key: str, label: str, fit: Fit, line: str) -> Row:
    def run(context: Context) -> Outcome:
        return transfer_run(context, fit, line_of=line)

    return row(key, label, run, {"line": line})
