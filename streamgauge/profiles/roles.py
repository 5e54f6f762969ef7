"""Which of unknown fields is the time, names the entity, or tells the truth; guessed from names and values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamgauge.profiles.paths import find
from streamgauge.profiles.seen import Seen, plain_value, words
from streamgauge.profiles.time_formats import Written, half_a_time, time_written

MAX_CATEGORIES = 100
"""A text of more different values is no category."""
MAX_ENTITIES = 0.5
"""Share of different values above which a field names single records, not entities."""
MIN_TIMES = 0.95
"""Share of records that must have the time; the others would be refused."""
_TIME_WORDS = {"ts", "t", "time", "timestamp", "datetime", "date", "at", "epoch", "stime"}
_ENTITIES = (
    *({"entity"}, {"machine"}, {"device"}, {"asset"}, {"equipment"}, {"robot"}, {"host"}, {"hostname"}),
    *(
        {"application", "uri"},
        {"orig", "h"},
        {"src", "ip"},
        {"source", "ip"},
        {"srcip"},
        {"saddr"},
        {"src", "addr"},
    ),
    *({"plc"}, {"station"}, {"sensor"}, {"line"}, {"node"}, {"unit", "id"}, {"site"}, {"plant"}),
)
"""Words of a name that names entities, the likeliest first."""
_TRUTH_WORDS = {"label", "labels", "attack", "anomaly", "anomalous", "intrusion", "malicious", "truth", "outlier"}
_TRUTH_WORDS |= {"changepoint", "att"}
_TRUTH_WORDS_IF_VALUES = {
    "class",
    "target",
    "normal",
    "fault",
    "type",
    "category",
    "cat",
    "status",
    "state",
    "result",
}
_NORMAL = {"normal", "benign", "ok", "0", "false", "legitimate", "healthy"}
_ATTACKS = {"ddos", "dos", "attack", "anomaly", "malicious", "backdoor", "portscan", "scanning", "mitm", "xss"}
_ATTACKS |= {
    "botnet",
    "bot",
    "bruteforce",
    "brute force",
    "ransomware",
    "injection",
    "exploits",
    "fuzzers",
    "malware",
}


@dataclass(frozen=True)
class Truth:
    """Fields that tell normal from abnormal records; none of them may be a feature.

    Attributes:
        label: for ``[label]``.
        normal: its values that mean normal; a guess if `guessed`.
        attack_type: another one that names kinds.
        others: further ones.
    """

    label: str
    normal: tuple[str, ...]
    guessed: bool
    attack_type: str | None = None
    others: tuple[str, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(f for f in (self.label, self.attack_type, *self.others) if f)


@dataclass(frozen=True)
class Times:
    """Fields that hold times.

    Attributes:
        name, written: of the event time; None: no field.
        others: further ones, each with its format.
        halves: fields with only a date or a time of day -> which.
    """

    name: str | None = None
    written: Written | None = None
    others: Mapping[str, str] = field(default_factory=dict)
    halves: Mapping[str, str] = field(default_factory=dict)


def times_among(seen: Mapping[str, Seen], n: int) -> Times:
    """The time of n records: a field named like one first, then one whose name says that it is the source's."""
    found: list[tuple[str, Written]] = []
    halves: dict[str, str] = {}
    for name, s in seen.items():
        named = bool(_TIME_WORDS & set(words(name)))
        if not s.nameable or not s.values or (s.kind == "number" and not named):
            continue
        if (half := half_a_time(s)) is not None:
            halves[name] = half
        elif (written := time_written(s)) is not None and (named or not written.format.startswith("unix")):
            found.append((name, written))
    if not found and "time of day" not in halves.values():  # a day is a time where nothing says more
        days = [
            (f, w) for f, half in halves.items() if half == "date" and (w := _day_written(seen[f])) is not None
        ]
        found, halves = days, {f: half for f, half in halves.items() if f not in dict(days)}
    whole = [(f, w) for f, w in found if seen[f].present >= MIN_TIMES * n]
    whole.sort(key=lambda each: (not _TIME_WORDS & set(words(each[0])), "source" not in words(each[0])))
    if not whole:
        return Times(others={f: w.format for f, w in found}, halves=halves)
    name, written = whole[0]
    return Times(name, written, {f: w.format for f, w in found if f != name}, halves)


def _day_written(seen: Seen) -> Written | None:
    written = time_written(seen)
    return written if written is not None and written.format == "iso8601" else None


def entity_among(seen: Mapping[str, Seen], n: int, taken: Collection[str]) -> str | None:
    """The field that names machines, hosts or the like in all of n records."""
    ranked = []
    for place, (name, s) in enumerate(seen.items()):
        names_one = s.kind == "text" or (s.kind == "number" and s.whole and not s.switch)
        if name in taken or not s.nameable or not names_one or s.present < n or "" in s.values:
            continue
        if len(s.values) > max(1, MAX_ENTITIES * n):
            continue
        rank = next((i for i, all_of in enumerate(_ENTITIES) if all_of <= set(words(name))), None)
        if rank is not None and (s.kind == "text" or _is_number_of(name, _ENTITIES[rank])):
            ranked.append((rank, place, name))
    return min(ranked)[2] if ranked else None


def _is_number_of(name: str, of: Collection[str]) -> bool:
    """Whether numbers name something, as those of ``machine`` and ``machine_id`` do, of ``machine_load`` not."""
    return set(words(name)) - set(of) <= {"id", "no", "nr", "number", "index"}


def truth_among(seen: Mapping[str, Seen], taken: Collection[str]) -> Truth | None:
    """The fields that look like labels: by their name, or by values such as ``DDoS``."""
    found = [name for name, s in seen.items() if name not in taken and s.nameable and _tells_truth(name, s)]
    if not found:
        return None

    def rank(name: str) -> tuple[bool, bool, int, bool]:
        s = seen[name]
        certain = bool(normal_of(s)) or s.values.keys() <= {"0", "1"}
        weak = not (_TRUTH_WORDS & set(words(name)))
        return (not certain, weak, max(2, len(s.values)), "label" not in words(name))

    label, *rest = sorted(found, key=rank)
    kinds = [f for f in rest if seen[f].kind == "text"]
    kind = max(kinds, key=lambda f: len(seen[f].values)) if kinds else None
    if len(seen[label].values) > 2 and kind is None:
        kind = label
    normal, guessed = normal_of(seen[label]), False
    if not normal and seen[label].values.keys() <= {"0", "1"}:
        normal = ("0",)
    if not normal:
        normal, guessed = (seen[label].values.most_common(1)[0][0],), True
    return Truth(label, tuple(v.strip() for v in normal), guessed, kind, tuple(f for f in rest if f != kind))


def normal_of(seen: Seen) -> tuple[str, ...]:
    """Values that mean normal."""
    return tuple(v for v in seen.values if _word(v) in _NORMAL or _word(v).startswith(("normal", "benign")))


def _tells_truth(name: str, seen: Seen) -> bool:
    if not 1 <= len(seen.values) <= MAX_CATEGORIES or seen.kind not in ("text", "number", "boolean"):
        return False
    if seen.kind == "number" and not (seen.whole and len(seen.values) <= 40):
        return False
    if len(seen.values) > max(2, seen.present / 2):
        return False
    attacks = any(_word(v) in _ATTACKS or "attack" in _word(v) for v in seen.values)
    if named_truth(name):
        return True
    return attacks or bool(_TRUTH_WORDS_IF_VALUES & set(words(name)) and "benign" in map(_word, seen.values))


def named_truth(name: str) -> bool:
    """Whether a field's name alone says that it tells the truth."""
    return bool(_TRUTH_WORDS & set(words(name)))


def _word(value: str) -> str:
    return value.strip().strip(".").lower().replace("-", " ").replace("_", " ").removesuffix(" attack")


def tells_label(
    records: Sequence[Mapping[str, Any]], names: Collection[str], label: str, at_least: int = 5
) -> set[str]:
    """Fields whose value alone tells each record's label; none where not two labels came often enough."""
    labels: defaultdict[str, int] = defaultdict(int)
    kinds: dict[str, defaultdict[str, set[str]]] = {name: defaultdict(set) for name in names}
    for record in records:
        truth = plain_value(find(record, label))
        labels[truth] += 1
        for name, by_value in kinds.items():
            by_value[plain_value(find(record, name))].add(truth)
    if sum(count >= at_least for count in labels.values()) < 2:
        return set()
    return {
        name
        for name, by_value in kinds.items()
        if len(by_value) <= min(MAX_CATEGORIES, len(records) / 5) and all(len(t) == 1 for t in by_value.values())
    }
