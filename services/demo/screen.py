"""The demo's screen: tables on a terminal, plain lines elsewhere."""

from __future__ import annotations

from typing import Any

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from services.demo.sources import SITES
from services.demo.watch import MILESTONES, View

ATTACKED = ("burst", "attack")
"""Phases of a stream with attacks in it."""
PHASE_STYLES = {"watching": "green", "held": "yellow", "learning": "cyan", "agreement": "cyan", "starting": "dim"}


def render(view: View, heading: str, urls: list[str]) -> RenderableType:
    """The whole screen."""
    parts: list[RenderableType] = [Text(heading, style="bold"), _stream(view), _nodes(view), _model(view)]
    if view.scores.attacks:
        parts.append(Text(f"Found: {_classes_text(view)}"))
    if view.alerts:
        parts.append(_alert(view.alerts[0], view.scores.newest))
    parts += [_milestones(view), Text("  ".join(urls), style="blue"), Text("Ctrl-C ends it.", style="dim")]
    return Panel(Group(*parts), title=f"Streamgauge demo  {view.elapsed_s:5.0f} s", border_style="blue")


def line(view: View) -> str:
    """One line for a log."""
    nodes = "  ".join(
        f"{site} {_phase(view.nodes.get(site, {}))} {view.nodes.get(site, {}).get('records_scored', 0)} scored "
        f"{view.rates.get(site, 0):.0f}/s {view.nodes.get(site, {}).get('alerts', 0)} alerts"
        for site in SITES
    )
    parts = [nodes, _model_text(view), _scores_text(view)]
    if view.scores.newest:
        parts.append(f"newest alert: {view.scores.newest}")
    return f"{view.elapsed_s:4.0f} s  {_phase_of_stream(view)} | " + " | ".join(parts)


def summary(view: View, console: Console) -> None:
    """What was reached, after the end."""
    console.print(_milestones(view))
    console.print(_nodes(view))
    console.print(_model(view))
    if view.scores.attacks:
        console.print(f"Attack records found, by class: {_classes_text(view, most=100)}")


def _phase_of_stream(view: View) -> str:
    phase = str(view.stream.get("phase", "starting"))
    told = view.source.phases.get(phase, phase)
    under_attack = view.stream.get("under_attack", {})
    return told + "".join(f", {site}: {kind}" for site, kind in under_attack.items())


def _stream(view: View) -> Text:
    sent = sum(view.stream.get("sent", {}).values())
    attacks = sum(view.stream.get("attacks", {}).values())
    text = Text("Stream: ")
    text.append(_phase_of_stream(view), style="red" if view.stream.get("phase") in ATTACKED else "green")
    text.append(f"   {sent:,} records sent, {attacks:,} of them attacks, {view.stream.get('rate', 0):.0f}/s")
    return text


def _phase(row: dict[str, Any]) -> str:
    phase = str(row.get("phase", "starting"))
    left = row.get("learning_left_s")
    return f"{phase}, {left / 60:.0f} min of event time left" if left else phase


def _nodes(view: View) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("node", "stream", "phase"):
        table.add_column(column)
    for column in ("scored", "records/s", "learned", "alerts", "dead letters", "release"):
        table.add_column(column, justify="right")
    for site in SITES:
        row = view.nodes.get(site, {})
        style = PHASE_STYLES.get(str(row.get("phase", "starting")), "")
        table.add_row(
            site,
            view.source.each[site],
            Text(_phase(row), style=style),
            f"{row.get('records_scored', 0):,}",
            f"{view.rates.get(site, 0):.0f}",
            f"{row.get('records_learned', 0):,}",
            f"{row.get('alerts', 0):,}",
            f"{row.get('dead_letters', 0):,}",
            str(row.get("release_seq", 0)),
        )
    return table


def _model_text(view: View) -> str:
    current = view.rounds[0] if view.rounds else None
    text = (
        f"round {current['round']}: {current.get('state') or current.get('outcome')}"
        if current
        else "no round yet"
    )
    return f"{text}, release {view.release_seq}"


def _scores_text(view: View) -> str:
    scores = view.scores
    if not scores.alerts:
        return "no alerts yet"
    alerts = f"{scores.right} of {scores.alerts} alerts hold an attack"
    if scores.late:
        alerts += f", {scores.late} come soon after one"
    parts = [
        f"precision {scores.precision:.0%} of {scores.alerted} alerted records" if scores.alerted else "",
        alerts,
    ]
    if scores.recall is None:
        return ", ".join([*filter(None, parts), "no attack yet"])
    if view.source.aftermath:
        parts.append("{1} of {0} attacks found".format(*scores.stretches))
    return ", ".join([*filter(None, parts), f"recall {scores.recall:.0%} of {scores.attacks} attack records"])


def _classes_text(view: View, most: int = 6) -> str:
    """Recall of each class, those with most records first."""
    classes = sorted(view.scores.by_class.items(), key=lambda item: -item[1][1])
    told = [f"{name} {found / sent:.0%} of {sent}" for name, (found, sent) in classes[:most]]
    return ", ".join(told) + (f", {len(classes) - most} more" if len(classes) > most else "")


def _model(view: View) -> Text:
    text = Text("Model: ")
    text.append(_model_text(view), style="bold")
    text.append("   Alerts: ")
    text.append(_scores_text(view), style="bold")
    return text


def _alert(alert: dict[str, Any], truth: str) -> Text:
    why = (
        ", ".join(f"{f['name']} {f['contribution']:.0%}" for f in alert.get("features", [])[:3]) or "not explained"
    )
    return Text(
        f"Newest alert: {alert['site']} {alert['entity']}  score {alert['score']:.1f} x the alarm line, "
        f"{alert['count']} records, {alert['state']}; because of {why}; truth: {truth or 'not known yet'}",
        style="red",
    )


def _milestones(view: View) -> Text:
    reached = [f"{name} {view.milestones[name]:.1f} s" for name in MILESTONES if name in view.milestones]
    return Text("Start: " + ", ".join(reached), style="dim")
