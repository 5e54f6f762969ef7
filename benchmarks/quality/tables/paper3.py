"""Paper 3: Tables I to III and Figures 5 and 6."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace

from benchmarks.quality.columns import ALWAYS, AUC, F1, MB_SENT
from benchmarks.quality.paper3.decision import DECISIONS, decision_run
from benchmarks.quality.paper3.edges import TUNING_ROWS, UNLIKE, even_edges, unlike_edges
from benchmarks.quality.paper3.report import beaten, extra, plot
from benchmarks.quality.paper3.run import Effort, federated_run, tree_run
from benchmarks.quality.paper3.tuning import TRIALS
from benchmarks.quality.table import (
    TABLES,
    Column,
    Comparison,
    Context,
    Outcome,
    Protocol,
    Row,
    Section,
    Table,
    Target,
)
from streamgauge.simulation import Client
from streamgauge.simulation.config import Mode

Edges = Callable[[Context], list[Client]]
EFFORT = Effort()
"""Chosen on the tuning records; see `benchmarks.quality.paper3.tuning`."""
MAIN = (10_000, 5_000, 5_000)
"""Records an edge to train, validate and test: what the even hundredths of the paper's Table III fit."""
MAIN_SPLIT = "10,000 records to train, 5,000 to validate, 5,000 to test on each edge, drawn at random"
SIX_ONE_THREE, SIX_THREE_ONE = (1_500, 250, 750), (1_500, 750, 250)
"""The same for 10,000 records in all, parted as the paper's Table I and as its text say."""
ALPHA = 0.3
PAPER_TABLE_2 = {
    (20, 90): (0.9728, 0.0876),
    (30, 90): (0.9714, 0.0904),
    (20, 100): (0.9702, 0.0978),
    (30, 100): (0.9702, 0.0942),
    (20, 120): (0.9668, 0.1015),
    (30, 120): (0.9792, 0.0843),
    (40, 120): (0.9711, 0.0955),
}
"""(epochs, batch) -> test accuracy and loss of the paper's Table II."""
SIX = ("train_accuracy", "validation_accuracy", "test_accuracy", "train_loss", "validation_loss", "test_loss")
PAPER_FL = dict(zip(SIX, (0.9847, 0.9824, 0.9792, 0.0560, 0.0701, 0.0843), strict=True))
PAPER_ALONE = dict(zip(SIX, (0.9791, 0.9759, 0.9727, 0.0602, 0.0754, 0.0767), strict=True))
COLUMNS = (
    Column("test_accuracy", "test accuracy"),
    Column("validation_accuracy", "validation accuracy"),
    Column("train_accuracy", "training accuracy"),
    Column("test_loss", "test loss"),
    Column("validation_loss", "validation loss"),
    Column("train_loss", "training loss"),
    F1,
    ALWAYS,
    AUC,
    Column("others_accuracy", "accuracy on the other edges"),
    Column("kddtest_accuracy", "KDDTest+ accuracy"),
    Column("rounds", "round chosen", ".1f"),
    MB_SENT,
    Column("mb_raw", "MB of raw records", ".2f"),
)
TUNING = (
    f"{len(TRIALS)} trials of federated learning and as many of every edge alone, same settings tried, on "
    f"{TUNING_ROWS:,} records of KDDTrain+ that are in no edge here (`paper3_tuning.json`); none was over "
    "0.1 points better on validation, mean of both, than the first, which is used for all rows"
)


def _protocol(split: str) -> Protocol:
    return Protocol(
        "paper",
        split,
        labels="all, to train; validation labels to choose the round",
        threshold="probability one half",
        tuning=TUNING,
        remarks=(
            "Ours, not stated by the paper: widths, dropout, learning rate, log1p of counts, merged moments for "
            f"the z-score, at most {EFFORT.rounds} rounds of local epochs (the paper: 50, converged in the 4th; "
            "its delta 0.01 is kept), the round with the highest mean validation accuracy. Optimiser state starts "
            "afresh every round.",
            "Equal effort: every way of learning passes equally often over every training record, and is chosen "
            "and stopped by the same rule.",
        ),
    )


def _learn(
    key: str,
    label: str,
    mode: Mode,
    edges: Edges,
    split: object,
    effort: Effort = EFFORT,
    paper: Mapping[str, float] | None = None,
    note: str = "",
) -> Row:
    def run(context: Context) -> Outcome:
        return federated_run(edges(context), mode, effort, context.data, context.seed)

    config = {"mode": mode, "split": split, **asdict(effort)}
    return Row(key, label, run, config, paper=paper or {}, note=note)


def _federated(edges: Edges) -> Row:
    return _learn("fl", "Federated (FedAvg)", "federated", edges, MAIN, paper=PAPER_FL)


def _tree(key: str, label: str, edges: Edges, *, pooled: bool) -> Row:
    def run(context: Context) -> Outcome:
        return tree_run(edges(context), pooled=pooled, data=context.data, seed=context.seed)

    return Row(key, label, run, {"pooled": pooled, "split": MAIN})


def _even(counts: tuple[int, int, int]) -> Edges:
    return lambda context: even_edges(context.data, counts, context.seed)


def _unlike(context: Context) -> list[Client]:
    return unlike_edges(context.data, ALPHA, context.seed)


def _main() -> Section:
    edges = _even(MAIN)
    return Section(
        "Table III: with and without federation, four edges",
        _protocol(MAIN_SPLIT),
        COLUMNS,
        (
            _federated(edges),
            _learn("non-fl", "Each edge alone", "local", edges, MAIN, paper=PAPER_ALONE),
            _learn(
                "fl-pca",
                "Federated, 40 principal components",
                "federated",
                edges,
                MAIN,
                replace(EFFORT, components=40),
                note="the paper's last step of preprocessing; the size is ours",
            ),
        ),
        (
            Target("fl", "test_accuracy", 0.9792, text="federated test accuracy above the paper's"),
            Target("fl", "test_accuracy", 0.993, text="federated test accuracy, our goal"),
        ),
        (
            Comparison("fl", "non-fl", "test_accuracy"),
            Comparison("fl", "non-fl", "others_accuracy"),
            Comparison("fl", "non-fl", "test_loss"),
        ),
    )


def _baselines() -> Section:
    edges = _even(MAIN)
    return Section(
        "Baselines on the edges of Table III",
        _protocol(MAIN_SPLIT),
        COLUMNS,
        (
            _federated(edges),
            _learn("central", "One model, all records in one place", "centralised", edges, MAIN),
            _tree("tree", "Gradient-boosted tree, each edge alone", edges, pooled=False),
            _tree("tree-central", "Gradient-boosted tree, all records in one place", edges, pooled=True),
        ),
        comparisons=(Comparison("fl", "tree", "test_accuracy"), Comparison("fl", "central", "test_accuracy")),
    )


def _pair(title: str, split: str, name: str, edges: Edges, config: object) -> Section:
    return Section(
        title,
        _protocol(split),
        COLUMNS,
        (
            _learn(f"fl-{name}", "Federated (FedAvg)", "federated", edges, config),
            _learn(f"non-fl-{name}", "Each edge alone", "local", edges, config),
        ),
        comparisons=(
            Comparison(f"fl-{name}", f"non-fl-{name}", "test_accuracy"),
            Comparison(f"fl-{name}", f"non-fl-{name}", "others_accuracy"),
        ),
    )


def _table_2() -> Section:
    rows = []
    for (epochs, batch), (right, loss) in PAPER_TABLE_2.items():
        effort = replace(EFFORT, epochs=epochs, batch_size=batch)
        rows.append(
            _learn(
                f"fl-{epochs}-{batch}",
                f"{epochs} epochs, batch {batch}",
                "federated",
                _even(SIX_ONE_THREE),
                SIX_ONE_THREE,
                effort,
                paper={"test_accuracy": right, "test_loss": loss},
            )
        )
    return Section(
        "Table II: local epochs and batch size",
        _protocol(
            "10,000 records in all, as the paper's Table II says; an edge: 1,500 train, 250 validation, 750 test"
        ),
        COLUMNS,
        tuple(rows),
    )


def _decisions() -> Section:
    def row(key: str, label: str, central: bool) -> Row:
        def run(context: Context) -> Outcome:
            edges = even_edges(context.data, (1_000, 500, 1_000), context.seed)
            return decision_run(edges, context.seed, central=central)

        return Row(key, label, run, {"decisions": DECISIONS})

    return Section(
        "Time of a decision: on the edge, or at a server",
        Protocol(
            "ours",
            split=f"{DECISIONS} test records, one at a time",
            labels="none",
            threshold="none",
            tuning="none",
            remarks=(
                "The server is a thread of the same process, asked over TCP on the loopback: what a real network "
                "adds comes on top of its figure.",
            ),
        ),
        (
            Column("median_ms", "median ms", ".3f"),
            Column("p99_ms", "99 % of decisions within ms", ".3f"),
            Column("bytes", "bytes sent a record", ".0f"),
        ),
        (row("decision-edge", "On the edge", False), row("decision-central", "At a server, over loopback", True)),
        comparisons=(Comparison("decision-central", "decision-edge", "median_ms"),),
    )


@TABLES.register("paper3")
def paper3() -> Table:
    """Table III and Figures 5 and 6."""
    return Table(
        "paper3",
        "Paper 3: federated MLP on NSL-KDD",
        (_main(),),
        remarks=(
            "Baselines, Table II and Table I's split: the table `paper3_beside`. The text's split, unlike edges "
            "and the time of a decision: the table `paper3_unlike`.",
            "Random sampling, which the paper calls non-IID, makes edges nearly alike; for unlike ones see there.",
            "The paper's 97.92 % is the best of seven runs (its Table II) chosen on the test set. Its four edges' "
            "training losses average 6.00, its table and text say 5.60. Its equation 8 lacks an absolute value, "
            "and equation 9 writes the gradient where the loss is meant; equations 5 and 6 are one full-gradient "
            "step a round, where its text says epochs of RMSProp: epochs are run here.",
            "Records of random row splits of KDDTrain+ are alike between training and test; KDDTest+, with 17 "
            "attack types that no training record has, is the strict test and stands beside.",
        ),
        extra=extra,
        plot=plot,
    )


@TABLES.register("paper3_beside")
def paper3_beside() -> Table:
    """Baselines on the edges of Table III; Table II; Table I's split."""
    return Table(
        "paper3_beside",
        "Paper 3: baselines, Table II and Table I's split",
        (
            _baselines(),
            _table_2(),
            _pair(
                "Table I's split, 6:1:3",
                "10,000 records in all; an edge: 1,500 train, 250 validation, 750 test",
                "6-1-3",
                _even(SIX_ONE_THREE),
                SIX_ONE_THREE,
            ),
        ),
        extra=beaten,
    )


@TABLES.register("paper3_unlike")
def paper3_unlike() -> Table:
    """The text's split; unlike edges; the time of a decision."""
    return Table(
        "paper3_unlike",
        "Paper 3: the text's split, unlike edges and the time of a decision",
        (
            _pair(
                "The text's split, 6:3:1",
                "10,000 records in all; an edge: 1,500 train, 750 validation, 250 test",
                "6-3-1",
                _even(SIX_THREE_ONE),
                SIX_THREE_ONE,
            ),
            _pair(
                "Unlike edges",
                f"{UNLIKE:,} records parted by Dirichlet({ALPHA}) over the service, 2:1:1 within an edge",
                "dirichlet",
                _unlike,
                {"dirichlet": ALPHA, "records": UNLIKE},
            ),
            _decisions(),
        ),
    )
