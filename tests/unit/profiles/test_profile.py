"""Profiles: what is read, and that every mistake is one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamgauge.errors import ConfigurationError, UnknownNameError
from streamgauge.profiles.missing_rules import MissingRule
from streamgauge.profiles.profile import bundled_profiles, load_profile, parse_profile

SMALL = """
name = "pump"
title = "A pump"
missing = "last:30"
[time]
field = "at"
format = "unix_ms"
[entity]
source = "key"
[[numeric]]
field = "pressure"
unit = "bar"
min = 0
max = 16
[[categorical]]
field = "mode"
categories = ["on", "off"]
missing = "constant:other"
"""


@pytest.mark.parametrize("name", bundled_profiles())
def test_bundled_profiles_load_and_are_named_as_their_file(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert profile.citation
    assert profile.schema.width >= len(profile.numeric)


def test_nsl_kdd_has_41_features() -> None:
    profile = load_profile("nsl-kdd")
    assert len(profile.numeric) + len(profile.categorical) == 41
    assert profile.entity == "service"
    assert profile.time.field is None
    assert profile.label is not None
    assert profile.label.field not in {f.field for f in profile.categorical}


def test_what_is_not_given_has_defaults() -> None:
    profile = parse_profile(SMALL)
    assert profile.entity is None
    assert profile.label is None
    assert profile.numeric[0].feature.name == "pressure"
    assert profile.numeric[0].missing == MissingRule("last", max_age_s=30)
    assert profile.fields == ("at", "pressure", "mode")
    assert profile.schema.missing == (("pressure", "last:30"), ("mode", "constant:other"))


def test_a_missing_rule_decides_numbers_so_it_is_in_the_hash() -> None:
    other = SMALL.replace("last:30", "last:31")
    assert parse_profile(SMALL).schema.hash != parse_profile(other).schema.hash


def test_a_file_is_loaded_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "pump.toml"
    path.write_text(SMALL, "utf-8")
    assert load_profile(path) == parse_profile(SMALL)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('unit = "bar"', 'unti = "bar"', "unknown key 'unti'; did you mean 'unit'?"),
        ("min = 0", 'min = "0"', "min = '0'; allowed: a finite number"),
        ("max = 16", "max = 0", "max = 0.0; allowed: a number above min"),
        ("max = 16", "max = inf", "max = inf; allowed: a finite number"),
        (
            '"unix_ms"',
            '"unix"',
            "allowed: 'iso8601', 'unix_s', 'unix_ms', 'unix_us', 'unix_ns' or 'strptime:<format>'",
        ),
        ('"unix_ms"', '"strptime:%d.%m.%Y %Q"', "format = 'strptime:%d.%m.%Y %Q'; allowed: a format of Python's"),
        ('"unix_ms"', '"strptime:%H:%M:%S"', "has no year"),
        ('"last:30"', '"last"', "missing = 'last'; allowed: 'reject', 'mask', 'last:<seconds>'"),
        (
            '"last:30"',
            '"constant:x"',
            "field 'pressure': missing = 'constant:x' (inherited from the top of the profile",
        ),
        ('"constant:other"', '"constant:idle"', "allowed: 'reject', 'mask' or 'constant:<one of its categories"),
        ('["on", "off"]', '["on", "on"]', "distinct categories"),
        ('["on", "off"]', '["on", 1]', "allowed: a list of texts"),
        ('field = "mode"', 'field = "pressure"', "field 'pressure' feeds two features"),
        ('field = "mode"', 'field = "at"', "field 'at' is the time and a feature"),
        ('source = "key"', 'field = "pressure"', "the entity field 'pressure' has another role"),
        ('source = "key"', 'source = "topic"', "source = 'topic'; allowed: 'key'"),
        ('name = "pump"', "", "'name' is missing"),
        ('name = "pump"', 'name = "pump', "not valid TOML"),
        ('name = "pump"', 'name = "pump"\nmax_missing_share = 2', "max_missing_share = 2.0; allowed: a share"),
        ('name = "pump"', 'name = "pump"\nsampling_period_s = 0', "allowed: a number above 0"),
        ('name = "pump"', 'name = "pump"\nlayout = "long"', "'long' is missing; add it"),
    ],
)
def test_a_mistake_is_named_with_what_is_allowed(old: str, new: str, said: str) -> None:
    assert old in SMALL
    with pytest.raises(ConfigurationError) as caught:
        parse_profile(SMALL.replace(old, new, 1), where="pump.toml")
    assert said in str(caught.value)
    assert "pump" in str(caught.value)


def test_the_label_is_never_a_feature() -> None:
    with pytest.raises(ConfigurationError, match="is the label and a feature"):
        parse_profile(SMALL + '[label]\nfield = "mode"\nnormal = ["on"]\n')


@pytest.mark.parametrize("name", ["nsl_kd", "no/such/file.toml"])
def test_an_unknown_profile_names_the_known_ones(name: str) -> None:
    with pytest.raises(UnknownNameError, match="nsl-kdd, plant, skab"):
        load_profile(name)


def test_a_profile_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(ConfigurationError, match=r"binary\.toml' is no UTF-8 text"):
        load_profile(path)
