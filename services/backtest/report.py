"""The result as one HTML page that needs nothing else: no script, no font, no network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from services.backtest.attacks import Attack, by_type
from services.backtest.charts import bar_chart, curve_chart, score_chart
from services.backtest.measuring import Measured
from services.backtest.score_line import moment

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1c2733;max-width:1120px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}
p.sub{color:#5b6875;margin-top:0}svg{max-width:100%;height:auto}
.cards{display:flex;flex-wrap:wrap;gap:.7rem}.card{border:1px solid #d9e0e6;border-radius:6px;padding:.5rem .9rem}
.card b{display:block;font-size:1.25rem}.card span{color:#5b6875;font-size:.85rem}
.two{display:flex;flex-wrap:wrap;gap:2rem;align-items:flex-start}
table{border-collapse:collapse;width:100%;font-size:.88rem}
th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #e6ebef}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
tr.missed td{color:#a33}
text{font:12px system-ui,sans-serif;fill:#5b6875}.grid{stroke:#e6ebef}.attack{fill:#f6c9b8;opacity:.75}
.highest{fill:none;stroke:#0b6e99;stroke-width:1.1}.middle{fill:none;stroke:#8fb9cc;stroke-width:1}
.alarm{stroke:#c2410c;stroke-dasharray:5 4}.bar{fill:#0b6e99}.point{fill:#c2410c}
.key i{display:inline-block;width:1.2rem;height:.6rem;margin:0 .3rem 0 1rem;vertical-align:middle}
"""
_KEY = (
    "<p class='sub key'><i style='background:#0b6e99'></i>highest<i style='background:#8fb9cc'></i>median of a "
    "stretch<i style='background:#c2410c;height:2px'></i>alarm line<i style='background:#f6c9b8'></i>attack</p>"
)
_MOST_ROWS = 200


def html_of(head: dict[str, Any], measured: Measured) -> str:
    """The page.

    Args:
        head: profile, detector, bundle, threshold and where they come from.
        measured: scores, alerts and the comparison.
    """
    numbers = measured.numbers
    title = f"Backtest: {head['title']}"
    sub = (
        f"{head['detector']}, {head['origin']}; {numbers['records']:,} records from {numbers['from']} until "
        f"{numbers['until']}. {head['line']}"
    )
    shaded = [(attack.first_row, attack.last_row) for attack in measured.attacks]
    sections = [
        f"<h1>{escape(title)}</h1><p class='sub'>{escape(sub)}</p>",
        _cards(numbers),
        "<h2>Score over the records</h2>",
        _KEY,
        score_chart(measured.line, shaded),
        "<div class='two'>",
        *_curve(measured),
        *_telling(measured),
        "</div>",
        *_attacks(measured.attacks),
        *_alerts(measured),
    ]
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(title)}</title>"
        f"<style>{_STYLE}</style><body>{''.join(sections)}</body></html>\n"
    )


def _cards(numbers: dict[str, Any]) -> str:
    cards = [("alerts", f"{numbers['alerts']:,}")]
    if "events" in numbers:
        cards += [
            ("attacks found", f"{numbers['events_found']} of {numbers['events']}"),
            ("precision, by record", f"{numbers['precision']:.1%}"),
            ("recall, by record", f"{numbers['recall']:.1%}"),
            ("F1; always alarm", f"{numbers['f1']:.3f}; {numbers['always_alarm_f1']:.3f}"),
        ]
    for name, key in (("average precision", "average_precision"), ("AUC", "auc")):
        if key in numbers:
            cards.append((name, f"{numbers[key]:.3f}"))
    if numbers.get("false_events_per_day") is not None:
        cards.append(("false alarm events a day", f"{numbers['false_events_per_day']:.3g}"))
    if numbers["rejected"]:
        said = ", ".join(f"{reason} {count:,}" for reason, count in numbers["rejected"].items())
        cards.append(("rejected records", said))
    inner = "".join(f"<div class='card'><b>{escape(v)}</b><span>{escape(k)}</span></div>" for k, v in cards)
    return f"<div class='cards'>{inner}</div>"


def _curve(measured: Measured) -> list[str]:
    if measured.curve is None:
        return []
    at = (measured.numbers["recall"], measured.numbers["precision"])
    chart = curve_chart(measured.curve.recall, measured.curve.precision, at)
    return [f"<div><h2>Precision over recall</h2>{chart}<p class='sub'>The dot is the alarm line.</p></div>"]


def _telling(measured: Measured) -> list[str]:
    if not measured.telling:
        return []
    chart = bar_chart({name: 100 * share for name, share in measured.telling.items()}, " %", "telling features")
    return [
        f"<div><h2>Most telling features</h2>{chart}<p class='sub'>Mean share in the explained scores.</p></div>"
    ]


def _attacks(attacks: Sequence[Attack]) -> list[str]:
    if not attacks:
        return []
    delays = {
        f"{i}. {attack.type}": attack.delay_s for i, attack in enumerate(attacks, 1) if attack.delay_s is not None
    }
    kinds = by_type(attacks) if len({attack.type for attack in attacks}) > 1 else {}
    rows = [
        (
            str(i),
            attack.type,
            attack.entity,
            attack.start[:19].replace("T", " "),
            f"{attack.rows:,}",
            f"{attack.above / attack.rows:.0%}",
            "–" if attack.delay_s is None else _duration(attack.delay_s),
            f"{attack.peak:.2f}",
            ", ".join(attack.features),
        )
        for i, attack in enumerate(attacks, 1)
    ]
    head = ("#", "type", "entity", "begins", "records", "above the line", "delay", "peak", "most telling")
    missed = {i for i, attack in enumerate(attacks) if not attack.found}
    parts = ["<h2>Attacks</h2>", _table(head, rows[:_MOST_ROWS], {4, 5, 6, 7}, missed)]
    if len(rows) > _MOST_ROWS:
        parts.append(f"<p class='sub'>The first {_MOST_ROWS} of {len(rows)}; all are in the JSON file.</p>")
    if len(kinds) > 1:
        told = [
            (kind, f"{row['found']:g} of {row['attacks']:g}", f"{row['above'] / row['rows']:.0%}")
            for kind, row in sorted(kinds.items())
        ]
        parts += ["<h2>By type</h2>", _table(("type", "found", "records above the line"), told, {1, 2}, set())]
    if 0 < len(delays) <= 60:
        chart = bar_chart({name: float(value) for name, value in delays.items()}, " s", "delay per attack")
        parts += ["<h2>Delay per attack</h2>", chart]
    return parts


def _alerts(measured: Measured) -> list[str]:
    rows = [
        (
            alert.entity,
            moment(alert.first.time)[:19].replace("T", " "),
            moment(alert.last.time)[:19].replace("T", " "),
            f"{alert.count:,}",
            f"{alert.worst.score:.2f}",
        )
        for alert in measured.worst_alerts
    ]
    if not rows:
        return ["<h2>Alerts</h2><p>No alert would have been raised.</p>"]
    head = ("entity", "first", "last", "records", "worst score")
    count = measured.numbers["alerts"]
    title = "Alerts" if len(rows) == count else f"The {len(rows)} worst of {count:,} alerts"
    return [f"<h2>{title}</h2>", _table(head, rows, {3, 4}, set())]


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.3g} s"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: set[int], marked: set[int]) -> str:
    def cells(row: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=n' if i in numbers else ''}>{escape(cell)}</{tag}>" for i, cell in enumerate(row)
        )

    body = "".join(
        f"<tr{' class=missed' if i in marked else ''}>{cells(row, 'td')}</tr>" for i, row in enumerate(rows)
    )
    return f"<table><tr>{cells(head, 'th')}</tr>{body}</table>"
