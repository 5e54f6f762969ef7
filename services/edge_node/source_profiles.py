"""Which profile reads which topic: collectors differ, what they measure does not."""

from __future__ import annotations

from services.edge_node.settings import EdgeSettings
from services.runtime.errors import SettingsError
from streamgauge.features import FeatureSchema
from streamgauge.profiles.profile import Profile, load_profile


class SourceProfiles:
    """Profiles by topic; all of them have the features that the node's detector scores.

    Args:
        settings: of the node: `profile`, and `profiles` for topics of another form.
    Raises:
        SettingsError: the profile of a topic has other features.
        ConfigurationError, UnknownNameError: a profile cannot be read.
    """

    def __init__(self, settings: EdgeSettings) -> None:
        self.default = load_profile(settings.profile)
        self._own = {topic: load_profile(name) for topic, name in settings.profiles.items()}
        for topic, profile in self._own.items():
            if profile.schema.hash != self.schema.hash:
                raise SettingsError(
                    f"STREAMGAUGE_EDGE_PROFILES: topic {topic!r}: profile {profile.name!r} has other features "
                    f"than {self.default.name!r} ({_difference(profile.schema, self.schema)}); a node scores one "
                    "set of features: run a node of its own for this topic, or give the features the same names, "
                    "units, ranges, categories and missing rules"
                )

    @property
    def schema(self) -> FeatureSchema:
        """Of all of them."""
        return self.default.schema

    def of(self, topic: str) -> Profile:
        """The profile that reads a topic."""
        return self._own.get(topic, self.default)

    @property
    def all(self) -> tuple[Profile, ...]:
        """Each profile in use."""
        return (self.default, *self._own.values())


def _difference(one: FeatureSchema, other: FeatureSchema) -> str:
    mine, theirs = _named(one), _named(other)
    parts = [f"only there: {', '.join(names)}" for names in (sorted(mine.keys() - theirs.keys()),) if names]
    parts += [f"missing there: {', '.join(names)}" for names in (sorted(theirs.keys() - mine.keys()),) if names]
    differ = sorted(name for name in mine.keys() & theirs.keys() if mine[name] != theirs[name])
    parts += [f"defined differently: {', '.join(differ)}"] if differ else []
    return "; ".join(parts) or "in another order"


def _named(schema: FeatureSchema) -> dict[str, tuple[object, ...]]:
    rules = dict(schema.missing)
    numeric = {f.name: (f, rules.get(f.name)) for f in schema.numeric}
    return {**numeric, **{f.name: (f, rules.get(f.name)) for f in schema.categorical}}
