"""Missing rules on decoded batches."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from streamgauge.errors import ConfigurationError
from streamgauge.profiles.decoder import Decoded, Decoder
from streamgauge.profiles.imputing import Imputer
from streamgauge.profiles.profile import load_profile, parse_profile
from streamgauge.stream.imputation import LastValues
from tests.unit.profiles.test_decoder import Record

TEXT = """
name = "pump"
title = "A pump"
max_missing_share = 1
[time]
field = "t"
format = "unix_s"
[entity]
source = "key"
[[numeric]]
field = "a"
missing = "constant:3"
min = 0
max = 10
[[numeric]]
field = "b"
missing = "mask"
min = 0
max = 10
[[numeric]]
field = "c"
missing = "last:5"
min = 0
max = 10
[[categorical]]
field = "d"
categories = ["x", "y"]
missing = "constant:y"
[[categorical]]
field = "e"
categories = ["x", "y"]
missing = "mask"
"""
PROFILE = parse_profile(TEXT)
FULL: dict[str, Any] = {"a": 1, "b": 2, "c": 4, "d": "x", "e": "y"}


def decode(*rows: dict[str, Any]) -> Decoded:
    return Decoder(PROFILE).decode([Record(json.dumps(row).encode()) for row in rows])


def test_nothing_missing_nothing_changed() -> None:
    decoded = decode(FULL | {"t": 1})
    imputed = Imputer(PROFILE).impute(decoded, LastValues())
    np.testing.assert_array_equal(imputed.values, decoded.values)
    np.testing.assert_array_equal(imputed.codes, decoded.codes)
    np.testing.assert_array_equal(
        imputed.encode(PROFILE.schema), PROFILE.schema.encode(decoded.values, decoded.codes)
    )
    assert imputed.counts == {}


def test_each_rule_and_its_count() -> None:
    decoded = decode(FULL | {"t": 1}, {"t": 3}, {"t": 9})
    before = decoded.values.copy(), decoded.codes.copy()
    imputed = Imputer(PROFILE).impute(decoded, LastValues())
    np.testing.assert_array_equal(imputed.values, [[1, 2, 4], [3, 5, 4], [3, 5, 5]])
    np.testing.assert_array_equal(imputed.codes, [[0, 1], [1, 2], [1, 2]])
    np.testing.assert_array_equal(
        imputed.masked, np.array([[0, 0, 0, 0, 0], [0, 1, 0, 0, 1], [0, 1, 1, 0, 1]], bool)
    )
    assert imputed.counts == {
        ("a", "constant"): 2,
        ("c", "last"): 1,
        ("d", "constant"): 2,
        ("b", "mask"): 2,
        ("c", "mask"): 1,
        ("e", "mask"): 2,
    }
    np.testing.assert_array_equal(decoded.values, before[0])
    np.testing.assert_array_equal(decoded.codes, before[1])


def test_masked_cells_are_nan_in_all_their_columns() -> None:
    decoded = decode(FULL | {"t": 1}, {"t": 2, "a": 1, "c": 4})
    x = Imputer(PROFILE).impute(decoded, LastValues()).encode(PROFILE.schema)
    nan = math.nan
    np.testing.assert_array_equal(x[1], np.array([1, nan, 4, 0, 1, 0, nan, nan, nan], np.float32))
    assert np.isfinite(x[0]).all()


def test_a_profile_without_last_needs_no_memory() -> None:
    profile = load_profile("nsl-kdd")
    decoded = Decoder(profile).decode([Record(b'{"service": "http", "flag": "SF", "protocol_type": "tcp"}')])
    assert decoded.rejected[0].reason == "too-many-missing"
    assert len(Imputer(profile).impute(decoded, None).values) == 0


def test_a_rule_last_without_memory_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="LastValues"):
        Imputer(PROFILE).impute(decode(FULL | {"t": 1}), None)
