"""Whatever the bytes: no crash, no hang, nothing lost; and what is accepted is what ``json`` reads."""

from __future__ import annotations

import json
import math
import random
import time
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.profiles.decoder import FLOAT32_MAX, Decoder
from streamgauge.profiles.paths import find
from streamgauge.profiles.profile import parse_profile
from streamgauge.profiles.tags import TagDecoder

HEAD = """
name = "fuzz"
title = "Anything"
missing = "mask"
max_missing_share = 1
[time]
field = "t"
format = "unix_s"
[entity]
field = "e"
"""
NUMBER = """
[[numeric]]
field = "a"
min = 0
max = 1
"""
NESTED = NUMBER.replace('"a"', '"$.o.b"')
CATEGORY = """
[[categorical]]
field = "c"
categories = ["on", "1", "true"]
"""
LONG_HEAD = HEAD.replace("[time]", 'layout = "long"\n[long]\ntag = "g"\nvalue = "v"\ntick_s = 1\n[time]')
WIDE = parse_profile(HEAD + NUMBER + NESTED + CATEGORY)
FLAT = parse_profile(HEAD + NUMBER + CATEGORY)
LONG = parse_profile(LONG_HEAD + NUMBER + CATEGORY)


@dataclass(frozen=True)
class Record:
    value: bytes
    offset: int = 0
    key: bytes | None = b"k"
    timestamp: int = 1_700_000_000_000


NUMBERS = st.one_of(
    st.floats(),
    st.integers(),
    st.integers(-(10**400), 10**400),
    st.floats(-1e40, 1e40),
    st.decimals(-1, 1, places=17).map(float),
)
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(), st.booleans(), NUMBERS, st.text(max_size=5), st.sampled_from(["on", "1", "true", "a", "c"])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("bcx"), inner, max_size=3)
    ),
    max_leaves=4,
)
FIELDS = st.dictionaries(st.sampled_from("teaogcvx"), ANYTHING)
SENSIBLE = st.fixed_dictionaries({"t": st.floats(1, 4e9), "e": st.text("ab", min_size=1, max_size=3)})


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """JSON that is often good, in any order of keys, with keys twice, then perhaps damaged."""
    pairs = list(draw(FIELDS).items())
    if draw(st.booleans()):
        pairs += list(draw(SENSIBLE).items())
    chance = random.Random(draw(st.integers(0, 2**32)))
    chance.shuffle(pairs)
    ascii_ = chance.random() < 0.5
    text = "{" + ",".join(f"{json.dumps(k)}:{json.dumps(v, ensure_ascii=ascii_)}" for k, v in pairs) + "}"
    data = text.encode("utf-8", "surrogatepass")
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 3]))):
        at = chance.randrange(len(data) + 1)
        junk = bytes(
            chance.choices(b'{}[],:"\\u\x00\xff\xef0123456789eE+-.nulltruefalseNaN \t\n', k=chance.randrange(3))
        )
        data = data[:at] + junk + data[at + chance.randrange(3) :]
    return data


def read(data: bytes) -> dict[str, Any]:
    """What ``json`` reads; NaN and infinities count as missing."""
    parsed = json.loads(data.decode("utf-8-sig", "replace"), parse_constant=lambda _: None)
    assert isinstance(parsed, dict)
    return parsed


def number(value: Any) -> float:
    assert value is None or (isinstance(value, int | float) and not isinstance(value, bool))
    return math.nan if value is None else float(value)


def code(value: Any) -> int:
    assert value is None or isinstance(value, str | int)
    if value is None:
        return -1
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return ("on", "1", "true").index(text) if text in ("on", "1", "true") else 3


SEVERAL = st.lists(st.one_of(records(), st.binary(max_size=40)), min_size=1, max_size=4)


@given(SEVERAL, st.sampled_from([WIDE, FLAT]))
def test_records(values: list[bytes], profile: Any) -> None:
    decoded = Decoder(profile).decode([Record(value) for value in values])
    assert sorted([*decoded.good.tolist(), *(r.position for r in decoded.rejected)]) == list(range(len(values)))
    assert all(r.reason and r.detail for r in decoded.rejected)
    for row, at in enumerate(decoded.good.tolist()):
        parsed = read(values[at])
        expected = [number(find(parsed, f.field)) for f in profile.numeric]
        assert repr(decoded.values[row].tolist()) == repr(expected)
        assert all(math.isnan(x) or abs(x) <= FLOAT32_MAX for x in expected)
        assert decoded.codes[row, 0] == code(parsed.get("c"))
        assert (decoded.entities[row], decoded.times[row]) == (str(parsed["e"]), float(parsed["t"]))
        alone = Decoder(profile).decode([Record(values[at])])
        assert repr(alone.values.tolist()) == repr(decoded.values[row : row + 1].tolist())


@given(SEVERAL)
def test_messages_of_one_tag(values: list[bytes]) -> None:
    tags = TagDecoder(LONG).decode_tags([Record(value, i) for i, value in enumerate(values)])
    taken = tags.batch.index.tolist()
    assert len(taken) + len(tags.rejected) + tags.unknown == len(values)
    assert not {r.position for r in tags.rejected} & set(taken)
    for row, at in enumerate(taken):
        parsed = read(values[at])
        column, value = tags.batch.columns[row], tags.batch.values[row]
        assert ("a", "c")[column] == str(parsed["g"])
        expected = number(parsed.get("v")) if column == 0 else float(code(parsed.get("v")))
        assert repr(value) == repr(expected) or (column == 1 and math.isnan(value) and expected == -1)


SLOW = [b"[" * 100_000, b'{"a":' * 50_000, b'{"t":' + b"9" * 200_000 + b"}", b'{"a":1e' + b"9" * 5000 + b"}"]
SLOW += [
    b'{"a":' + b"0." + b"1" * 200_000 + b',"t":1,"e":"x"}',
    b'{"v":' + b"9" * 100_000 + b',"g":"a","t":1,"e":"x"}',
]


@pytest.mark.parametrize("value", SLOW, ids=range(len(SLOW)))
def test_long_numbers_and_deep_nesting_do_not_hang(value: bytes) -> None:
    start = time.process_time()
    Decoder(WIDE).decode([Record(value)])
    TagDecoder(LONG).decode_tags([Record(value)])
    assert time.process_time() - start < 0.5
