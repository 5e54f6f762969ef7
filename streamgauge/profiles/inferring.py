"""A profile proposed for unknown records: a text for a person to edit, with what was seen and why it is so."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamgauge.errors import DataError
from streamgauge.profiles.fields import ISO8601
from streamgauge.profiles.one_tag import OneTag, by_tag, of_the_tag, one_tag_among, tick_s
from streamgauge.profiles.paths import find
from streamgauge.profiles.proposed_features import (
    canonical_names,
    missing_share,
    plain,
    quoted,
    seen_like_ids,
    table,
    useless,
)
from streamgauge.profiles.roles import (
    Times,
    Truth,
    entity_among,
    named_truth,
    tells_label,
    times_among,
    truth_among,
)
from streamgauge.profiles.seen import Seen, look_at, numbers_of, words
from streamgauge.profiles.time_formats import regular_s, steps_s, unread_times

Records = Sequence[Mapping[str, Any]]
_KINDS = 20
"""Kinds of messages that one topic may mix."""


@dataclass(frozen=True)
class Proposal:
    """A proposed profile.

    Attributes:
        text: TOML; `load_profile` reads it as it is.
        summary: of it in one line.
    """

    text: str
    summary: str


def propose(records: Records, name: str, places: Sequence[str] = ()) -> Proposal:
    """A profile for records like these, which it accepts, but those without a time or an entity or with odd cells.

    A field of which nearly all values are numbers, or times, is one of these; a comment says what the others are.

    Args:
        records: at least one, in the order of the source; some thousands tell enough.
        name: of the profile.
        places: where each record stands, for people; nothing: its number says it.
    Raises:
        DataError: no field may be a feature; says why of each.
    """
    seen, n = look_at(records), len(records)
    where = places or [f"record {i}" for i in range(1, n + 1)]
    times = times_among({f: numbers_of(s) for f, s in seen.items()}, n)
    held = {f for f in (times.name, *times.others, *times.halves) if f}
    truth = truth_among(seen, held)
    taken = held | set(truth.fields if truth else ())
    one = one_tag_among(seen, taken)
    if one is not None:
        taken |= {one.tag, one.value}
    fixed = of_the_tag(by_tag(records, one), [f for f in seen if f not in taken]) if one else set()
    entity = entity_among(seen, n, taken | fixed)
    left_out = _roles_left_out(times, truth)
    left_out |= dict.fromkeys(fixed, "the same in all messages of a tag")
    rest = [f for f in seen if f not in taken and f not in fixed and f != entity]
    if one is not None:
        top, tables = _long(records, one, times, entity, fixed, left_out)
        left_out |= {f: useless(seen[f]) or "of the message, not a tag" for f in rest}
    else:
        top, tables = _wide(records, seen, rest, truth, times, entity, left_out, where)
    if not tables:
        reasons = [f"    {plain(f)}: {why}" for f, why in left_out.items()]
        raise DataError("\n".join(["no field of these records may be a feature:", *reasons]))
    lines = [
        f"# Proposed from {n} records. Edit what is marked `check`, then try it with `streamgauge profile check`.",
        "# All sites of a federation need the same features, ranges and rules.",
        f"name = {quoted(name)}",
        f"title = {quoted(f'Records of {name}')}",
        *_context(seen, rest),
        *top,
        *_time(times, records, seen, where),
        *_entity(entity, seen),
        *(_label(truth, seen) if truth else ()),
    ]
    numeric = [t for t in tables if t[0] == "[[numeric]]"]
    for each in (*numeric, *(t for t in tables if t[0] != "[[numeric]]")):
        lines += ["", *each]
    if left_out:
        lines += ["", "# Left out:", *(f"#   {plain(f) or '(no name)'}: {why}" for f, why in left_out.items())]
    return Proposal(
        "\n".join(lines) + "\n", _summary(n, one, times, entity, truth, len(numeric), tables, left_out)
    )


def _roles_left_out(times: Times, truth: Truth | None) -> dict[str, str]:
    left_out = {f: f"a {what} alone" for f, what in times.halves.items()}
    reads = f"; [time] reads {times.name}" if times.name else ", but not in all records"
    left_out |= {f: f"a time ({format_}){reads}" for f, format_ in times.others.items()}
    if truth is not None:
        why = f"tells the truth, as {truth.label} does: a feature of it would give the answer away"
        left_out |= dict.fromkeys(truth.others, why)
    return left_out


def _wide(
    records: Records,
    seen: Mapping[str, Seen],
    rest: Sequence[str],
    truth: Truth | None,
    times: Times,
    entity: str | None,
    left_out: dict[str, str],
    where: Sequence[str],
) -> tuple[list[str], list[list[str]]]:
    """Lines of the top and the features' tables of records with all features in one message."""
    seen = {f: numbers_of(s) if f in rest and not named_truth(f) else s for f, s in seen.items()}
    why = {f: useless(seen[f]) for f in rest}
    left_out |= {f: reason for f, reason in why.items() if reason is not None}
    features = [f for f in rest if why[f] is None]
    giving_away = tells_label(records, features, truth.label) if truth else set()
    names, tables = canonical_names(features), []
    for f in features:
        note = f"# check: its value alone tells {truth.label if truth else ''} of every record: leave it out?"
        notes = [plain(note)] if f in giving_away else []
        if odd := seen[f].odd:
            at = [i for i, record in enumerate(records) if isinstance(find(record, f), str)]
            notes.append(_odd(at, len(records), "numbers", next(iter(odd)), where))
        tables.append(table(f, seen[f], len(records), names.get(f), notes))
    top = ["# check: a missing cell says nothing; other rules: reject, last:<seconds>, constant:<value>"]
    top += ['missing = "mask"']
    share = missing_share(records, features) if features else 0.0
    if share > 0.5:
        top += [
            f"max_missing_share = {min(1.0, math.ceil(share * 100) / 100):g}  # check: as much was missing in one"
        ]
    top += _kinds_of_messages(records, seen, features)
    if times.name and times.written:
        period = regular_s(steps_s(records, times.name, times.written.format, entity))
        if period is not None:
            top.append(f"sampling_period_s = {period:g}  # silent sources and stuck sensors are noticed by it")
    return top, tables


def _kinds_of_messages(records: Records, seen: Mapping[str, Seen], features: Collection[str]) -> list[str]:
    """A warning where messages of several kinds, each with features of its own, are mixed."""
    for name, s in seen.items():
        if s.kind != "text" or not s.nameable or not 2 <= len(s.values) <= _KINDS or s.present < len(records):
            continue
        groups: dict[str, set[str]] = {}
        for record in records:
            has = {f for f in features if f != name and find(record, f) is not None}
            groups.setdefault(str(find(record, name)), set()).update(has)
        alone = [f for f in features if sum(f in has for has in groups.values()) == 1]
        if len(alone) > len(features) / 2:
            counts = ", ".join(f"{v} ({c})" for v, c in s.values.most_common())
            return [
                f"# check: messages of several kinds, by {plain(name)}: {plain(counts)}; each has own features.",
                "# A record is one message: send each kind to a topic of its own, with a profile of its own.",
            ]
    return []


def _long(
    records: Records,
    one: OneTag,
    times: Times,
    entity: str | None,
    fixed: Collection[str],
    left_out: dict[str, str],
) -> tuple[list[str], list[list[str]]]:
    """Lines of the top and the tags' tables of messages with one tag each."""
    groups = by_tag(records, one)
    format_ = times.written.format if times.written else ISO8601
    tick, typical = tick_s(groups, times.name, format_, entity)
    age = max(10 * tick, math.ceil(10 * (typical or 0.0)))
    units = next((f for f in fixed if {"unit", "units"} & set(words(f))), None)
    tables = []
    for tag, group in groups.items():
        s = Seen()
        for value in (find(record, one.value) for record in group):
            if value is not None and not (isinstance(value, float) and not math.isfinite(value)):
                s.add(value)
        if (why := useless(s)) is not None:
            left_out[f"tag {tag}"] = why
            continue
        unit = find(group[0], units) if units else None
        made = table(tag, s, len(group), None, unit=unit if isinstance(unit, str) else "")
        tables.append(made if made[0] == "[[numeric]]" else [*made, 'missing = "mask"'])
    seen_every = f"a tag came every {typical:g} s" if typical else "cannot be told from these records"
    return [
        "# Each message has one tag; an entity's messages of one tick make one record.",
        'layout = "long"',
        "# check: a tag that was not sent keeps its value so long; other rules: mask, reject, constant:<value>",
        f'missing = "last:{age:g}"',
        "",
        "[long]",
        f"tag = {quoted(one.tag)}",
        f"value = {quoted(one.value)}",
        f"tick_s = {tick:g}  # check: {seen_every}",
    ], tables


def _context(seen: Mapping[str, Seen], rest: Collection[str]) -> list[str]:
    """A suggestion that is not in force: texts that name single records are of use to who reads an alert."""
    names = [f for f in rest if seen[f].nameable and seen_like_ids(seen[f])]
    if not names:
        return []
    return [f"# context = [{plain(', '.join(map(quoted, names[:8])))}]  # check: shown in alerts, decides nothing"]


def _odd(at: Sequence[int], n: int, what: str, first: str, where: Sequence[str]) -> str:
    """Of records, by their indices, that hold something else than the others: they are refused."""
    return plain(f"# check: {len(at)} of {n} are not {what}: {first[:60]}, e.g. {where[at[0]]}; these are refused")


def _time(times: Times, records: Records, seen: Mapping[str, Seen], where: Sequence[str]) -> list[str]:
    n = len(records)
    if times.name is None or times.written is None:
        lines = ["", "[time]"]
        if len(times.halves) > 1:
            lines.append(
                f"# check: {plain(' and '.join(times.halves))} are halves of a time, but a profile reads one "
                "field: join them."
            )
        return [*lines, "# No field reads as a time: the message's own timestamp counts.", 'source = "message"']
    lines = ["", "[time]", f"field = {quoted(times.name)}", f"format = {quoted(times.written.format)}"]
    if times.written.other:
        lines[-1] += f"  # check: {times.written.other.removeprefix('strptime:')} would fit as well"
    if (missing := n - seen[times.name].present) > 0:
        lines.append(f"# check: missing in {missing} of {n} records, which are refused")
    if at := unread_times(records, times.name, times.written.format):
        lines.append(_odd(at, n, "such times", str(find(records[at[0]], times.name)), where))
    return lines


def _entity(entity: str | None, seen: Mapping[str, Seen]) -> list[str]:
    if entity is None:
        return [
            *("", "[entity]", "# check: no field is named like machines or hosts, so the message's key counts."),
            'source = "key"',
        ]
    return ["", "[entity]", f"field = {quoted(entity)}  # check: {len(seen[entity].values)} different"]


def _label(truth: Truth, seen: Mapping[str, Seen]) -> list[str]:
    values = ", ".join(f"{v} ({c})" for v, c in seen[truth.label].values.most_common(10))
    guess = "  # check: the most frequent" if truth.guessed else ""
    lines = ["", f"[label]  # check: is this the truth? {plain(values)}", f"field = {quoted(truth.label)}"]
    lines.append(f"normal = [{', '.join(map(quoted, truth.normal))}]{guess}")
    if not truth.guessed and not set(truth.normal) & {v.strip() for v in seen[truth.label].values}:
        lines[-1] += "  # check: none of it among these records"
    if truth.attack_type is not None:
        lines.append(f"attack_type = {quoted(truth.attack_type)}")
    return lines


def _summary(
    n: int,
    one: OneTag | None,
    times: Times,
    entity: str | None,
    truth: Truth | None,
    numeric: int,
    tables: Sequence[Sequence[str]],
    left_out: Mapping[str, str],
) -> str:
    what = f"one tag a message ({one.tag}, {one.value}); " if one else ""
    parts = [
        f"{numeric} numeric and {len(tables) - numeric} categorical features",
        f"time {times.name or 'of the message'}",
        f"entity {entity or 'the key of the message'}",
        f"label {truth.label if truth else 'none'}",
        f"{len(left_out)} left out, each with its reason",
    ]
    return f"proposed from {n} records: {what}{'; '.join(parts)}"
