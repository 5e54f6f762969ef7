"""CICIoT2023 over five nodes: the method and its parts, with devices of CICIoT2022, a family left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from benchmarks.quality.columns import ALWAYS, AT_RATE, AUC, F1, FALSE_ALARMS, MB_SENT, RECALL, prefixed
from benchmarks.quality.paper2.ciciot import COMMON, DEVICE_ROWS, DEVICES, NODES, SHARES, devices_2022, five_nodes
from benchmarks.quality.paper2.drift import drift_run
from benchmarks.quality.paper2.explaining import COALITIONS, RECORDS, TOP, explaining_run
from benchmarks.quality.paper2.learner import Way
from benchmarks.quality.paper2.nodes import Node
from benchmarks.quality.paper2.rows import (
    COLUMNS,
    EFFORT,
    LABELS,
    LONGER,
    THRESHOLD,
    TUNING,
    central_row,
    comparisons,
    federated_row,
    longer_rows,
    main_rows,
    part_rows,
    row,
)
from benchmarks.quality.paper2.runs import TARGET_AUC, family_run
from benchmarks.quality.table import Column, Context, Outcome, Protocol, Row, Section
from streamgauge.profiles.loaders.ciciot2023 import FAMILIES


def _five(context: Context) -> Sequence[Node]:
    return five_nodes(context.data, context.seed)


def _fifteen(context: Context) -> Sequence[Node]:
    return (*_five(context), *devices_2022(context.data, context.seed))


def main_section() -> Section:
    """All rows, and the parts of the method."""
    shares = ", ".join(f"{100 * share:.0f} %" for share in SHARES)
    return Section(
        "CICIoT2023, features in groups over five nodes",
        Protocol(
            "ours",
            f"the three samples (24,330 distinct records, 3,026 normal); {len(COMMON)} shared features "
            f"({', '.join(COMMON)}), the others in {NODES} private groups drawn by the seed. Of the normal "
            f"records {shares} train, are held out, test; the first two are parted among the nodes (about 300 and "
            "120 each). As many attacks as test normals, of every family as many; each node sees all test records "
            "through its own features. Figures are means over the nodes",
            LABELS,
            THRESHOLD,
            TUNING,
            (
                "A threshold of 120 held-out records is rough: at 1 % it rests on one or two of them",
                f"Rounds to target: the first with a mean AUC of {TARGET_AUC} (set after a look at one seed)",
                "The paper's text has no equations: detector, alignment weights and matching are ours after its "
                "words. The paper's score is the distance in the latent space; the reconstruction error beside is "
                "ours",
            ),
        ),
        COLUMNS,
        (*main_rows("five", _five), *part_rows("five", _five)),
        comparisons=comparisons(
            *("five", "central", "central-larger", "local", "shared", "kmeans", "zscore"),
            *("alignment", "one-shot", "unmatched", "own", "distance"),
        ),
    )


def longer_section() -> Section:
    """Twice the rounds."""
    return Section(
        f"CICIoT2023, five nodes, {LONGER.rounds} rounds",
        Protocol(
            "ours",
            "as above",
            LABELS,
            THRESHOLD,
            f"{LONGER.rounds} rounds of {LONGER.epochs} epochs for all rows here",
            (
                f"{LONGER.rounds} rounds were looked at first, on two seeds; {EFFORT.rounds} were then taken for "
                "all other sections to save time. Both stand here, whichever favours whom",
            ),
        ),
        COLUMNS,
        longer_rows("five-longer", _five),
        comparisons=comparisons("five-longer", "central", "central-larger", "local"),
    )


def devices_section() -> Section:
    """Benign-only nodes that share eight columns."""
    columns = (*AT_RATE[:6], Column("benign_false_alarms", "false alarms of the 2022 devices"), MB_SENT)
    return Section(
        f"CICIoT2023's five nodes with {DEVICES} devices of CICIoT2022",
        Protocol(
            "ours",
            f"as above; beside, the {DEVICES} devices of CICIoT2022 with the most records as benign-only nodes of "
            "the {} common columns ({} records to train, {} held out, {} to test)".format(
                len(COMMON), *DEVICE_ROWS
            ),
            LABELS,
            THRESHOLD,
            TUNING,
            (
                "A record of 2022 is a packet, one of 2023 a window of 10 or 100 packets: shares are 0 or 1 there",
                "Figures are of the five nodes; the devices have no attacks, only false alarms",
            ),
        ),
        columns,
        (
            federated_row("fifteen", "federated, FedAvg", _fifteen, Way()),
            federated_row("fifteen-alignment", "federated, dynamic alignment weights", _fifteen, Way("alignment")),
            federated_row("fifteen-local", "each node alone", _fifteen, Way(rule=None)),
            central_row("fifteen-central", "central autoencoder", _fifteen, "autoencoder", EFFORT),
        ),
        comparisons=comparisons("fifteen", "alignment", "local", "central"),
    )


def family_section() -> Section:
    """Each family in turn; the others are among the training records."""

    def left_out(family: str) -> Row:
        def run(context: Context) -> Outcome:
            return family_run(_five(context), family, EFFORT, context.seed)

        return row(f"without-{family}", family, run, {"family": family})

    return Section(
        "CICIoT2023: one attack family left out",
        Protocol(
            "ours",
            "as the five nodes above, tested on the test normals and the left-out family only. One of 20 training "
            "records is an attack of another family",
            "none: the attacks among the training records are not labelled; held-out records are normal",
            THRESHOLD,
            TUNING,
            (
                "In the sections above every family is unseen, for training has no attacks; here the detector has "
                "learned others as if they were normal",
            ),
        ),
        (
            *(F1, RECALL, FALSE_ALARMS, AUC, ALWAYS),
            prefixed(F1, "central", "central autoencoder: F1"),
            prefixed(RECALL, "central", "central: recall"),
            prefixed(AUC, "central", "central: ROC-AUC"),
        ),
        tuple(left_out(family) for family in sorted(FAMILIES)),
    )


def explaining_section() -> Section:
    """The ranking of columns."""

    def run(context: Context) -> Outcome:
        return explaining_run(_five(context), EFFORT, context.seed)

    return Section(
        "The live attribution against KernelSHAP",
        Protocol(
            "ours",
            f"{RECORDS} attack records of each of the five nodes",
            LABELS,
            "none",
            "none",
            (
                f"KernelSHAP by captum, {COALITIONS} coalitions a record, about the mean record; the agreement is "
                f"Spearman's rank correlation a record, and the share of the {TOP} highest columns in common",
            ),
        ),
        (
            Column("spearman", "rank correlation", ".3f"),
            Column("top", f"top {TOP} in common"),
            Column("records", "records", ".0f"),
        ),
        (
            row(
                "shap", "federated, shared + private features", run, {"records": RECORDS, "coalitions": COALITIONS}
            ),
        ),
    )


def drift_section() -> Section:
    """The ranking of columns from release to release."""

    def run(context: Context) -> Outcome:
        return drift_run(_five(context), LONGER, context.seed)

    return Section(
        "Rank drift per release",
        Protocol(
            "ours",
            f"the same {RECORDS} attack records of each of the five nodes after each of {LONGER.rounds} rounds",
            LABELS,
            "none",
            "none",
            (
                "A node's columns are ranked by their live attribution, mean over the records; the agreement of "
                "two releases is Spearman's rank correlation, mean over the nodes",
            ),
        ),
        (
            Column("first", "release 1 with 2", ".3f"),
            Column("last", f"release {LONGER.rounds - 1} with {LONGER.rounds}", ".3f"),
            Column("whole", f"release 1 with {LONGER.rounds}", ".3f"),
            Column("top", f"top {TOP} kept in the last step"),
        ),
        (
            row(
                "drift",
                "federated, shared + private features",
                run,
                {"effort": asdict(LONGER), "records": RECORDS, "top": TOP},
            ),
        ),
    )
