"""Source profiles: what the fields of a stream's records mean, read from TOML.

Example::

    >>> profile = load_profile("nsl-kdd")
    >>> len(profile.numeric), len(profile.categorical), profile.schema.width
    (38, 3, 124)
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from importlib import resources
from pathlib import Path

from streamgauge.errors import ConfigurationError, UnknownNameError
from streamgauge.features import OTHER, FeatureSchema
from streamgauge.profiles.fields import (
    CategoricalField,
    LabelField,
    NumericField,
    TimeField,
    read_categorical,
    read_choice,
    read_entity,
    read_label,
    read_numeric,
    read_positive,
    read_rule,
    read_time,
)
from streamgauge.profiles.long_layout import LongLayout, read_long
from streamgauge.profiles.missing_rules import MissingRule, finite
from streamgauge.profiles.paths import path_problems
from streamgauge.profiles.tables import Mistakes, Table
from streamgauge.stream.ticks import TickRule

LONGEST_REORDER_S = 3600.0
"""What waits for its turn is kept in memory and in every checkpoint."""


@dataclass(frozen=True)
class Profile:
    """A source profile.

    Attributes:
        name: short name, as in ``load_profile(name)``.
        title: one line for people.
        citation: where the data come from; empty for one's own plant.
        time: where the event time stands.
        entity: JSON field of the entity (machine, service, zone); None: the message's key.
        numeric: numeric fields, in the order of the matrix.
        categorical: categorical fields, after them.
        label: truth, if the source has one.
        context: JSON fields copied into local alerts, e.g. addresses; they decide no number.
        sampling_period_s: usual time between two records of an entity, None if irregular.
        max_missing_share: records with a larger share of missing features are rejected, in [0, 1].
        long: how messages of one tag each become records; None: one message is one record ("wide"). With it the
            features' fields are tags, and every role but theirs is a field of each message.
        reorder_s: how long a record waits for earlier ones that come after it, in seconds of event time.
    """

    name: str
    title: str
    citation: str
    time: TimeField
    entity: str | None
    numeric: tuple[NumericField, ...]
    categorical: tuple[CategoricalField, ...] = ()
    label: LabelField | None = None
    context: tuple[str, ...] = ()
    sampling_period_s: float | None = None
    max_missing_share: float = 0.5
    long: LongLayout | None = None
    reorder_s: float = 0.0

    def __post_init__(self) -> None:
        problems = [f"profile {self.name!r}: {text}" for text in (*_role_problems(self), *self._rule_problems())]
        if problems:
            raise ConfigurationError("\n".join(problems))

    def _rule_problems(self) -> Iterator[str]:
        """Missing rules that their field cannot have."""
        for numeric in self.numeric:
            if numeric.missing.kind == "constant" and finite(numeric.missing.value) is None:
                yield _bad_rule(numeric.field, numeric.missing, "a constant that is a number")
        for categorical in self.categorical:
            rule = categorical.missing
            known = (*categorical.feature.categories, OTHER)
            if rule.kind == "last" or (rule.kind == "constant" and rule.value not in known):
                allowed = "'reject', 'mask' or 'constant:<one of its categories or other>'"
                yield _bad_rule(categorical.field, rule, allowed)

    @cached_property
    def schema(self) -> FeatureSchema:
        """All of the profile that decides numbers; its hash is what sites compare."""
        rules = [(f.feature.name, str(f.missing)) for f in self.numeric]
        rules += [(f.feature.name, str(f.missing)) for f in self.categorical]
        return FeatureSchema(
            numeric=tuple(f.feature for f in self.numeric),
            categorical=tuple(f.feature for f in self.categorical),
            missing=tuple(rules),
        )

    @property
    def tick_rule(self) -> TickRule:
        """How messages become records; only of a profile with the long layout."""
        assert self.long is not None
        return TickRule(len(self.numeric) + len(self.categorical), self.long.tick_s, self.long.wait_s)

    @property
    def fields(self) -> tuple[str, ...]:
        """Every JSON field or tag named, each once, in the order time, entity, features, label, context."""
        return self._named(*(f.field for f in self.numeric), *(f.field for f in self.categorical))

    @property
    def message_fields(self) -> tuple[str, ...]:
        """As `fields`, of one message: in the long layout with tag and value in place of the features."""
        return self._named(self.long.tag, self.long.value) if self.long else self.fields

    def _named(self, *features: str) -> tuple[str, ...]:
        label = (self.label.field, self.label.attack_type) if self.label else ()
        names = (self.time.field, self.entity, *features, *label, *self.context)
        return tuple(dict.fromkeys(name for name in names if name is not None))


def bundled_profiles() -> tuple[str, ...]:
    """Names of the profiles that come with the package, sorted."""
    files = resources.files("streamgauge.profiles").iterdir()
    return tuple(sorted(f.name[:-5].replace("_", "-") for f in files if f.name.endswith(".toml")))


def load_profile(name_or_path: str | Path) -> Profile:
    """Load a bundled profile by name, or any by the path of its TOML file.

    Raises:
        UnknownNameError: no bundled profile of that name, or no such file.
        ConfigurationError: the file is not a valid profile; says table, key, value and what is allowed.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or text.endswith(".toml") or "/" in text:
        path = Path(name_or_path)
        if not path.is_file():
            raise UnknownNameError(f"profile {text!r}: no such file; give a path or one of {_known()}")
        try:
            return parse_profile(path.read_text("utf-8"), where=text)
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"profile {text!r} is no UTF-8 text ({error.reason}); is it TOML?") from None
    if text not in bundled_profiles():
        raise UnknownNameError(f"unknown profile {text!r}; known: {_known()}; or give the path of a .toml file")
    file = resources.files("streamgauge.profiles") / f"{text.replace('-', '_')}.toml"
    return parse_profile(file.read_text("utf-8"), where=text)


def _known() -> str:
    return ", ".join(bundled_profiles())


def parse_profile(text: str, where: str = "profile") -> Profile:
    """Read a profile from TOML text; `where` names it in messages.

    Raises:
        ConfigurationError: a line for each mistake.
    """
    try:
        table = Table(f"profile {where!r}", tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"profile {where!r} is not valid TOML: {error}") from error
    mistakes = Mistakes()
    read = mistakes.read
    default = read(lambda: read_rule(table, MissingRule("reject")), MissingRule("reject"))
    numeric = read(lambda: list(table.tables("numeric")), ())
    categorical = read(lambda: list(table.tables("categorical")), ())
    name, title = read(lambda: table.text("name"), ""), read(lambda: table.text("title"), "")
    citation = read(lambda: table.text("citation", ""), "")
    context = read(lambda: table.texts("context", ()), ())
    long = read(lambda: _long(table), None)
    time = read(lambda: read_time(table.table("time")), TimeField())
    entity = read(lambda: read_entity(table.table("entity")), None)
    numbers = [read(partial(read_numeric, t, default), None) for t in numeric]
    categories = [read(partial(read_categorical, t, default), None) for t in categorical]
    label = read(lambda: read_label(table.table("label")) if table.has("label") else None, None)
    period = read(lambda: _period(table), None)
    share, reorder_s = read(lambda: _share(table), 0.0), read(lambda: _reorder(table), 0.0)
    read(table.finish, None)

    def made() -> Profile:
        return Profile(
            name=name,
            title=title,
            citation=citation,
            long=long,
            time=time,
            entity=entity,
            numeric=tuple(field for field in numbers if field),
            categorical=tuple(field for field in categories if field),
            label=label,
            context=context,
            sampling_period_s=period,
            max_missing_share=share,
            reorder_s=reorder_s,
        )

    profile = read(made, None)  # also where a part is wrong already: what the others are, is told at once
    if profile is not None and all((*numbers, *categories)):
        try:
            _ = profile.schema  # names, ranges and categories are checked now, not at the first record
        except ConfigurationError as error:
            mistakes.add(ConfigurationError(f"{table.where}: {error}"))
    mistakes.finish()
    assert profile is not None
    return profile


def _bad_rule(field: str, rule: MissingRule, allowed: str) -> str:
    source = " (inherited from the top of the profile; give the field its own)" if rule.inherited else ""
    return f"field {field!r}: missing = {str(rule)!r}{source}; allowed: {allowed}"


def _period(table: Table) -> float | None:
    return read_positive(table, "sampling_period_s") if table.has("sampling_period_s") else None


def _reorder(table: Table) -> float:
    seconds = table.number("reorder_s", 0.0)
    if not 0 <= seconds <= LONGEST_REORDER_S:
        raise table.error("reorder_s", seconds, f"seconds from 0 to {LONGEST_REORDER_S:g}")
    if seconds and table.text("layout", "wide") == "long":
        raise table.error("reorder_s", seconds, "0 in the long layout, whose ticks wait for `wait_s` already")
    return seconds


def _long(table: Table) -> LongLayout | None:
    layout = read_choice(table, "layout", ("wide", "long"), "wide")
    if layout == "long":
        return read_long(table.table("long"))
    if table.has("long"):
        raise table.error("layout", layout, "'long', because there is a table [long]")
    return None


def _share(table: Table) -> float:
    value = table.number("max_missing_share", 0.5)
    if not 0 <= value <= 1:
        raise table.error("max_missing_share", value, "a share from 0 to 1")
    return value


def _role_problems(profile: Profile) -> Iterator[str]:
    """Fields with two roles. A field is a feature once; a number is nothing else; the label is never a feature.

    In the long layout features are tags: what must be told apart there are the fields of a message.
    """
    numeric = [f.field for f in profile.numeric]
    features = numeric + [f.field for f in profile.categorical]
    others: dict[str | None, str] = {profile.time.field: "time"}
    if profile.label:
        others |= {profile.label.attack_type: "attack type", profile.label.field: "label"}
    for field, n in Counter(features).items():
        if n > 1:
            yield f"field {field!r} feeds two features; keep one"
    yield from path_problems(profile.message_fields)
    if profile.long is not None:
        others |= {profile.long.tag: "tag"}
        features = numeric = [profile.long.value]
    for field in features:
        if field in others:
            yield f"field {field!r} is the {others[field]} and {'the value' if profile.long else 'a feature'}"
    if profile.entity is not None and profile.entity in (*numeric, *(k for k in others if k)):
        yield (
            f"the entity field {profile.entity!r} has another role; the entity may only be a categorical feature "
            "as well"
        )
