"""A table's result as Markdown and plots."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.quality.table import Column, Result, Table
from benchmarks.quality.verdicts import NOT_SHOWN, shown

KINDS = {
    "paper": "the paper's protocol, for comparison",
    "strict": "strict",
    "ours": "ours, where the paper states none",
}


def write_report(table: Table, result: Result, directory: Path) -> None:
    """Write NAME.md and its PNGs beside the JSON."""
    draw = table.plot or points
    images = draw(result, directory / f"{table.name}.png")
    lines = [*_head(result), *(f"![{name}]({name})" for name in images), ""]
    for section in result["sections"]:
        lines += _section(section)
    if table.extra:
        lines += table.extra(result)
    (directory / f"{table.name}.md").write_text("\n".join(lines).rstrip() + "\n")


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of a Markdown table and an empty one."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(map(str, line))} |" for line in lines] + [""]


def _head(result: Result) -> list[str]:
    machine = result["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return [
        f"# {result['title']}",
        "",
        f"Written by `make bench-quality TABLE={result['table']}`: mean and sample standard deviation over "
        f"{result['seeds']} seeds. Shares are in per cent.",
        "",
        f"{machine['date']}, commit {machine['commit']}; {machine['cores']} cores ({machine['cpu']}), "
        f"{machine['memory_gib']} GiB, {machine['system']}, Python {machine['python']}; {versions}. One thread.",
        "",
        *(line for remark in result["remarks"] for line in (remark, "")),
    ]


def _section(section: Result) -> list[str]:
    protocol = section["protocol"]
    always = section["always_alarm_f1"]
    lines = [
        f"## {section['title']}",
        "",
        f"- Protocol: {KINDS[protocol['kind']]}",
        *(f"- {name.capitalize()}: {protocol[name]}" for name in ("split", "labels", "threshold", "tuning")),
        *(f"- {remark}" for remark in protocol["remarks"]),
    ]
    if always:
        low, high = (f"{100 * value:.2f}" for value in always)
        lines.append(f'- F1 of "always alarm": {low}' + (f" to {high} (test sets differ)" if high != low else ""))
    lines += ["", *_rows(section)]
    lines += [f"- {row['label']}: {row['note']}" for row in section["rows"] if row["note"]]
    lines += [f"- {row['label']} failed: {why}" for row in section["rows"] for why in row["failed"]]
    lines += [_target(target, section) for target in section["targets"]]
    lines += [_comparison(comparison, section) for comparison in section["comparisons"]]
    return [*lines, ""]


def _rows(section: Result) -> list[str]:
    columns = [Column(**column) for column in section["columns"]]
    cells = [
        [
            row["label"],
            *(_cell(row, column) for column in columns),
            f"{row['seconds']['mean']:.1f}" if row["seconds"] else "",
            len(row["seeds"]),
            ", ".join(row["commits"]),
        ]
        for row in section["rows"]
    ]
    return markdown_table(["row", *(c.title for c in columns), "s a run", "seeds", "commit"], cells)


def _cell(row: Result, column: Column) -> str:
    figure, stated = row["figures"].get(column.figure), row["paper"].get(column.figure)
    text = f"{column.text(figure['mean'])} ± {column.text(figure['std'])}" if figure else ""
    return f"{text} (paper {column.text(stated)})" if stated is not None else text


def _column(section: Result, figure: str) -> Column:
    known = (Column(**column) for column in section["columns"])
    return next((column for column in known if column.figure == figure), Column(figure, figure))


def _target(target: Result, section: Result) -> str:
    column = _column(section, target["figure"])
    mean = "not measured" if target["mean"] is None else column.text(target["mean"])
    verdict = "reached" if target["reached"] else "**not reached**"
    what = target["text"] or f"{target['row']}, {column.title}"
    return f"- Target: {what}: at {target['at']} {column.text(target['bound'])}: {mean}, {verdict}"


def _comparison(found: Result, section: Result) -> str:
    column = _column(section, found["figure"])
    what = found["text"] or f"{found['row']} minus {found['other']}, {column.title}"
    mean, low, high = (column.text(found[name]) for name in ("mean", "low", "high"))
    verdict = "" if shown(found) else f"; {NOT_SHOWN}"
    return f"- {what}: {mean} (95 % interval {low} to {high}, paired over {found['seeds']:.0f} seeds){verdict}"


def points(result: Result, path: Path) -> list[str]:
    """Every section's first column as points with their spread, beside the paper's number."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    sections = result["sections"]
    height = sum(1.0 + 0.26 * len(section["rows"]) for section in sections)
    ratios = [1 + 0.26 * len(section["rows"]) for section in sections]
    figure, axes = plt.subplots(
        len(sections), figsize=(9, height), layout="constrained", squeeze=False, height_ratios=ratios
    )
    for axis, section in zip(axes[:, 0], sections, strict=True):
        _points(axis, section)
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return [path.name]


def _points(axes: Any, section: Result) -> None:
    column = Column(**section["columns"][0])
    factor = 100.0 if column.style == "percent" else 1.0
    rows = [row for row in reversed(section["rows"]) if column.figure in row["figures"]]
    figures = [row["figures"][column.figure] for row in rows]
    means = [factor * figure["mean"] for figure in figures]
    spreads = [factor * figure["std"] for figure in figures]
    axes.errorbar(means, range(len(rows)), xerr=spreads, fmt="o", color="#0b6e99", capsize=3, label="measured")
    stated = [
        (i, factor * row["paper"][column.figure]) for i, row in enumerate(rows) if column.figure in row["paper"]
    ]
    if stated:
        y, x = zip(*stated, strict=True)
        axes.plot(x, y, "D", color="#d97706", markersize=5, label="paper")
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes.set_yticks(range(len(rows)), [row["label"] for row in rows], fontsize=8)
    axes.set_title(f"{section['title']}: {column.title}", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3, axis="x")
