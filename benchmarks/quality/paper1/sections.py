"""Sections of the table: rules and baselines of one data set under one protocol, in words and rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.quality.columns import (
    ALWAYS,
    AUC,
    AVERAGE_PRECISION,
    BEST_F1,
    F1,
    FALSE_ALARMS,
    MB_SENT,
    PRECISION,
    RECALL,
)
from benchmarks.quality.paper1.inputs import STREAMS
from benchmarks.quality.paper1.nodes import (
    ALPHA,
    EARLIER,
    MOST_SERIES,
    MOST_TEST,
    NODES,
    TEST_SHARE,
    UNSEEN,
    Kind,
    Sizes,
)
from benchmarks.quality.paper1.rules import BATCH, EPOCHS, MAIN, ROUNDS, TRIAL_ROUNDS, VARIANTS, Rule
from benchmarks.quality.paper1.run import FORMS, averaged, baseline_run, rule_run
from benchmarks.quality.table import Column, Comparison, Context, Outcome, Protocol, Row, Section

COLUMNS = (F1, ALWAYS, PRECISION, RECALL, FALSE_ALARMS, AUC, AVERAGE_PRECISION, BEST_F1, MB_SENT)
EVENTS = (Column("event_recall", "events found"), Column("false_events_day", "false alarm events a day", ".2f"))
"""Of streams tested in order of time."""
BASELINES = (
    ("gradient_boosted_trees", "Gradient-boosted trees, all rows in one place, with labels"),
    ("isolation_forest", "Isolation forest, normal rows in one place"),
    ("pca", "PCA reconstruction error, normal rows in one place"),
)
TRIALS = len(MAIN["contrastive"].trials)
RANDOM_PER_NODE = f"{TEST_SHARE:.0%} of each node's rows, drawn at random, test that node's model"
POOLED = (
    "ROC-AUC and AUC-PR rank the rows of all nodes together, each in units of its node's line: they fall where "
    "nodes' scores spread differently; F1, precision and recall at the line do not"
)
LATER = (
    f"nodes are {NODES} consecutive time blocks of the first {EARLIER:.0%} of the rows since the first abnormal "
    "one, and all before; all later rows test every node's model. Within a node the last quarter of each class "
    "validates"
)


@dataclass(frozen=True)
class Source:
    """A data set of the table.

    Attributes:
        title: as printed.
        splits: protocol -> how its rows are parted, in words.
        remarks: its limits.
        members: data sets that are measured one by one, figures averaged; empty: itself.
    """

    title: str
    splits: Mapping[Kind, str]
    remarks: tuple[str, ...] = ()
    members: tuple[str, ...] = ()


SOURCES: Mapping[str, Source] = {
    "skab": Source(
        "SKAB",
        {"strict": LATER, "random": f"nodes are {NODES} time blocks of all rows; {RANDOM_PER_NODE}"},
        ("Types are the experiments' folders; between the runs the plant was set up anew",),
    ),
    "batadal": Source(
        "BATADAL",
        {
            "strict": f"nodes are {NODES} consecutive time blocks of dataset03 and dataset04's labelled rows; the "
            "test file, later and with attacks of its own, tests every node's model. Within a node the last "
            "quarter of each class validates",
            "random": f"nodes are {NODES} time blocks of all labelled rows, the test file's among them; "
            f"{RANDOM_PER_NODE}",
        },
        ("Rows without a label are left out. Only the last block has attacks: the other nodes know normal rows",),
    ),
    "ciciot2023": Source(
        "CICIoT2023, sample",
        {
            "strict": f"each record once; no node trains on {', '.join(UNSEEN)}: these families and "
            f"{TEST_SHARE:.0%} of the normal rows test every node's model. The sample has no times: normal rows "
            f"go to {NODES} nodes evenly, the other families by Dirichlet({ALPHA})",
            "random": f"each record once; normal rows to {NODES} nodes evenly, families by Dirichlet({ALPHA}); "
            f"{RANDOM_PER_NODE}",
        },
        ("26,672 rows of three public samples; no times, so no time blocks",),
    ),
    "ton-iot": Source(
        "TON_IoT, mean over four devices",
        {
            "strict": f"each record once; test: the last 20 % of the normal rows and the last {1 - EARLIER:.0%} "
            f"of the abnormal ones; node i of {NODES} has the i-th time block of the earlier ones of each class",
            "random": f"each record once; node i of {NODES} has the i-th time block of each class; "
            f"{RANDOM_PER_NODE}",
        },
        (
            "Weather station, GPS tracker, Modbus and thermostat have other columns each: every device has an "
            "encoder, nodes and tuning of its own, and the figures are the means over the four; by device below. "
            "Not measured: of the other three devices the garage door and the motion light have 2 distinct "
            "records each and the fridge 151, all of them normal at one time and abnormal at another: nothing "
            "tells the classes apart",
            "All normal rows fall in a few days or minutes, weeks before all attacks: time is no feature, and "
            "false alarms a day are not claimed",
        ),
        tuple(f"ton-iot-{device}" for device in ("weather", "gps-tracker", "modbus", "thermostat")),
    ),
    "swat": Source(
        "SWaT, time blocks as nodes",
        {"strict": LATER, "random": f"nodes are {NODES} time blocks of all rows; {RANDOM_PER_NODE}"},
        ("All 51 tags on every node. Blocks before the first attack know normal rows only",),
    ),
}
PUBLIC = tuple(name for name in SOURCES if name != "swat")
"""Data sets at hand; SWaT is its users' to bring."""


def section(name: str, kind: Kind, rules: Mapping[str, Rule], sizes: Sizes, *, baselines: bool = True) -> Section:
    """One data set under one protocol."""
    rows = [_rule(name, kind, key, rule, sizes) for key, rule in rules.items()]
    if baselines:
        rows += [_baseline(name, kind, key, label, sizes) for key, label in BASELINES]
    source, what = SOURCES[name], "later data or unseen attacks" if kind == "strict" else "random split"
    title = f"{source.title}: {what}" + ("" if rules is MAIN else "; the other rules on the NT-Xent encoder")
    first = f"{name}-{kind}-contrastive"
    others = [row.key for row in rows[1:]] if rules is MAIN else []
    comparisons = tuple(Comparison(first, other, "auc") for other in others)
    columns = (*COLUMNS, *EVENTS) if kind == "strict" and name in STREAMS else COLUMNS
    return Section(title, protocol(name, kind, sizes), columns, tuple(rows), (), comparisons)


def protocol(name: str, kind: Kind, sizes: Sizes) -> Protocol:
    """In words."""
    source = SOURCES[name]
    guess = "the paper's protocol (random split) is a guess: it states none. " if kind == "random" else ""
    (normal, abnormal), (held, held_abnormal) = sizes.train, sizes.validation
    return Protocol(
        "strict" if kind == "strict" else "paper",
        guess + source.splits[kind],
        f"all of the training rows, equal for every rule: at most {normal} normal and {abnormal} abnormal rows a "
        f"node, drawn by the seed; validation: at most {held} and {held_abnormal}. The test rows are the same for "
        f"all seeds (at most {MOST_TEST:,} a data set, drawn; of a stream split by time all, beyond "
        f"{MOST_SERIES:,} every k-th)",
        "99 % quantile of the node's own normal validation rows: nominal false-alarm rate 1 %, fixed beforehand",
        f"{TRIALS} trials for every rule (two learning rates, two values of its own setting), each of "
        f"{TRIAL_ROUNDS} rounds, once with a seed of its own; settings and score ({' or '.join(FORMS)}) by the "
        "mean of two AUCs on validation rows, against labelled attacks and against corrupted copies. Baselines: "
        "none",
        (
            f"Equal effort: the encoder of `contrastive` (96-32), {ROUNDS} rounds of {EPOCHS} local epochs, batch "
            f"{BATCH}, batches made class-balanced with corrupted copies where labels lack. MOON, FedProto and "
            "FedCAC: cross-entropy and their own term; FedProto decides by its class head, not by the nearest "
            "prototype",
            *_inputs(name),
            *((POOLED,) if kind == "random" else ()),
            *source.remarks,
        ),
    )


def _inputs(name: str) -> tuple[str, ...]:
    if name not in STREAMS:
        return ()
    return (
        f"Inputs, for every row alike: {STREAMS[name].text}; windows end with the record and begin anew with each "
        "recording",
    )


def _rule(name: str, kind: Kind, key: str, rule: Rule, sizes: Sizes) -> Row:
    def one(member: str, context: Context) -> Outcome:
        return rule_run(member, kind, key, sizes, context.data, context.seed)

    stated: dict[str, float] = {}
    if name == "swat" and rule.paper:
        stated = dict(zip(("f1", "precision", "auc"), rule.paper, strict=True))
    effort = {"rounds": ROUNDS, "trial_rounds": TRIAL_ROUNDS, "epochs": EPOCHS, "batch": BATCH}
    config = {**effort, "trials": _texts(rule), **_config(name, sizes)}
    return Row(f"{name}-{kind}-{key}", rule.label, _over(name, one), config, stated)


def _texts(rule: Rule) -> Sequence[str]:
    return [trial.text for trial in rule.trials]


def _baseline(name: str, kind: Kind, key: str, label: str, sizes: Sizes) -> Row:
    def one(member: str, context: Context) -> Outcome:
        return baseline_run(member, kind, key, sizes, context.data, context.seed)

    return Row(f"{name}-{kind}-{key}", label, _over(name, one), _config(name, sizes))


def _config(name: str, sizes: Sizes) -> dict[str, Any]:
    windows = (STREAMS[name].short, STREAMS[name].long) if name in STREAMS else ()
    return {**asdict(sizes), "windows": windows, "members": SOURCES[name].members}


def _over(name: str, one: Callable[[str, Context], Outcome]) -> Callable[[Context], Outcome]:
    """A run of the data set, or of each of its members."""
    members = SOURCES[name].members
    if not members:
        return lambda context: one(name, context)
    return lambda context: averaged({member: one(member, context) for member in members})


def variants(name: str, sizes: Sizes) -> Section:
    """The other rules on the contrastive encoder, strict."""
    return section(name, "strict", VARIANTS, sizes, baselines=False)
