"""Envelopes, signatures and codecs: what arrives is what was sent, by whom it says, or it is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from schemas import ModelArtefact, RoundMark
from services.runtime import codecs
from services.runtime.atomic import write_atomic
from services.runtime.envelope import SAFETENSORS, Opened, Sealer, open_envelope, read_message
from services.runtime.errors import EnvelopeError, SettingsError
from services.runtime.log import Outgoing, ReadRecord
from services.runtime.signing import (
    SigningKey,
    VerifyKey,
    canonical_bytes,
    create_key,
    load_signing_key,
    load_verify_key,
    load_verify_keys,
)
from streamgauge.errors import StateError
from streamgauge.layout import Item, Layout

KEY = SigningKey.generate()
TRUSTED = {"site/1": KEY.verify_key}
MARK = RoundMark(federation="f", round=3, phase="updates", mark_id=UUID(int=7))


def arrived(sent: Outgoing, **changes: Any) -> ReadRecord:
    record = ReadRecord(sent.topic, sent.partition or 0, 0, 0, sent.key, sent.value, list(sent.headers))
    return record._replace(**changes)


def reason(record: ReadRecord, trusted: dict[str, VerifyKey] | None = TRUSTED) -> str:
    with pytest.raises(EnvelopeError) as caught:
        open_envelope(record, trusted)
    return caught.value.reason


def sealed(key: SigningKey | None = KEY, sender: str = "site/1") -> Outgoing:
    return Sealer(sender, 1234, key, fence=5).seal(MARK, "t", b"k")


def test_a_message_comes_back_with_its_sender() -> None:
    sent = sealed()
    opened = open_envelope(arrived(sent), TRUSTED)
    assert opened == Opened("streamgauge.round-mark", "site/1", 1234, 1, 5, MARK.to_json())
    assert read_message(RoundMark, opened) == MARK
    headers = dict(sent.headers)
    assert headers["ce_specversion"] == b"1.0"
    assert headers["ce_type"] == b"streamgauge.round-mark.v1"
    assert headers["content-type"] == b"application/json"


def test_the_sequence_rises() -> None:
    sealer = Sealer("site/1", 1, None)
    opened = [open_envelope(arrived(sealer.seal(MARK, "t", b"k")), None) for _ in range(3)]
    assert [each.sequence for each in opened] == [1, 2, 3]


def test_whatever_is_changed_is_noticed() -> None:
    sent = sealed()
    other = dict(sent.headers) | {"sg_incarnation": b"9999"}
    assert reason(arrived(sent, topic="other")) == "bad-signature"
    assert reason(arrived(sent, key=b"other")) == "bad-signature"
    assert reason(arrived(sent, value=b"{}")) == "bad-signature"
    assert reason(arrived(sent, headers=list(other.items()))) == "bad-signature"
    assert reason(arrived(sent, headers=[*sent.headers, ("more", b"")])) == "bad-signature"


def test_headers_may_come_in_another_order() -> None:
    sent = sealed()
    assert open_envelope(arrived(sent, headers=list(reversed(sent.headers))), TRUSTED).sender == "site/1"


def test_who_is_not_trusted_is_refused() -> None:
    assert reason(arrived(sealed(SigningKey.generate()))) == "bad-signature"
    assert reason(arrived(sealed(sender="site/2"))) == "unknown-key"
    assert reason(arrived(sealed(key=None))) == "unsigned"


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("ce_type", b"com.example.v1", "not-ours"),
        ("ce_type", b"\xff", "bad-header"),
        ("sg_incarnation", b"-1", "bad-header"),
        ("sg_sequence", "٣".encode(), "bad-header"),
        ("sg_fence", b"9" * 5000, "bad-header"),
        ("sg_incarnation", b"%d" % 2**63, "bad-header"),
        ("sg_sender", None, "not-ours"),
    ],
)
def test_broken_headers_are_refused(name: str, value: bytes | None, why: str) -> None:
    headers = {key: content for key, content in dict(sealed(key=None).headers).items() if key != name}
    if value is not None:
        headers[name] = value
    assert reason(arrived(sealed(key=None), headers=list(headers.items())), None) == why


def test_foreign_records_and_tombstones_are_refused() -> None:
    assert reason(ReadRecord("t", 0, 0, 0, None, b"{}", [])) == "not-ours"
    assert reason(arrived(Sealer("site/1", 1, KEY).tombstone("t", b"k"))) == "null-value"
    sent = sealed()
    assert reason(arrived(sent, headers=[*sent.headers, sent.headers[0]])) == "duplicate-header"


def test_another_type_or_version_is_refused() -> None:
    opened = open_envelope(arrived(sealed()), TRUSTED)
    for value, why in ((b"{}", "bad-message"), (MARK.to_json().replace(b":1,", b":7,", 1), "unsupported-version")):
        with pytest.raises(EnvelopeError, match=why):
            read_message(RoundMark, Opened(opened.type, "s", 1, 1, 0, value))
    with pytest.raises(EnvelopeError, match="wrong-type"):
        read_message(ModelArtefact, opened)


@given(st.binary(max_size=4), st.binary(max_size=4), st.none() | st.binary(max_size=4))
def test_no_two_records_share_their_signed_bytes(a: bytes, b: bytes, c: bytes | None) -> None:
    original = canonical_bytes("t", a, [("h", b)], c)
    for topic, key, headers, value in (
        ("t", b, [("h", a)], c), ("t", a + b, [("h", b"")], c), ("t", a, [], c), ("th", a, [("", b)], c)
    ):  # fmt: skip
        if (topic, key, headers, value) != ("t", a, [("h", b)], c):
            assert canonical_bytes(topic, key, headers, value) != original


def test_keys_live_in_files(tmp_path: Path) -> None:
    private, public = create_key(tmp_path, "site/1")
    assert (private.name, public.name) == ("site__1.key", "site__1.pub")
    assert private.stat().st_mode & 0o777 == 0o600
    signature = load_signing_key(private).sign(b"data")
    assert load_verify_keys(tmp_path)["site/1"].verify(signature, b"data")
    assert not load_verify_keys(tmp_path)["site/1"].verify(signature, b"other")
    with pytest.raises(SettingsError, match="exists"):
        create_key(tmp_path, "site/1")
    for wrong in ("", "a__b", "../x", "a b", "/a"):
        with pytest.raises(SettingsError, match="key name"):
            create_key(tmp_path, wrong)
    with pytest.raises(SettingsError, match="not a private key"):
        load_signing_key(public)


HEADER = ModelArtefact(
    federation="f", content="weights", round=1, detector="d", schema_hash="0" * 64, layout_hash="1" * 64
)


def unpack(data: bytes) -> tuple[ModelArtefact, dict[str, NDArray[Any]]]:
    return codecs.unpack(ModelArtefact, data, 1 << 20)


def test_a_kill_between_the_two_files_of_a_key_is_mended_by_the_next_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill_at_the_second(path: Path, data: bytes, mode: int) -> None:
        if any(tmp_path.iterdir()):
            raise KeyboardInterrupt
        write_atomic(path, data, mode)

    with monkeypatch.context() as patched:
        patched.setattr("services.runtime.signing.write_atomic", kill_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            create_key(tmp_path, "plant-a/w1")
    private, public = create_key(tmp_path, "plant-a/w1")
    assert load_signing_key(private).verify_key.to_pem() == load_verify_key(public).to_pem()


def test_arrays_come_back_whatever_their_memory_looks_like() -> None:
    base = np.arange(24, dtype=np.float64).reshape(4, 6)
    arrays: dict[str, NDArray[Any]] = {
        "t": base.T,
        "r": base[::-1, ::2],
        "s": np.asarray(1.5, np.float32),
        "e": np.zeros((0, 3), np.float32),
    }
    message, back = unpack(codecs.pack(HEADER, arrays))
    assert message == HEADER
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        assert back[name].shape == array.shape
        assert (back[name] == array).all()


def test_equal_input_gives_equal_bytes() -> None:
    arrays = {f"a{n}": np.full(3, n, np.float32) for n in range(20)}
    shuffled = dict(sorted(arrays.items(), key=lambda item: -float(item[1][0])))
    assert codecs.pack(HEADER, arrays) == codecs.pack(HEADER, shuffled)


@pytest.mark.parametrize("dtype", ["float16", ">f8", "U3", "complex128", "object"])
def test_other_dtypes_are_refused(dtype: str) -> None:
    with pytest.raises(StateError, match="convert it"):
        codecs.pack(HEADER, {"a": np.zeros(2, dtype)})


def hostile(header: object, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not-safetensors"),
        (b"\xff" * 8, "not-safetensors"),
        (hostile({}, 1 << 40), "not-safetensors"),
        (hostile([1]), "not-safetensors"),
        (hostile({"a": 1}), "not-safetensors"),
        (hostile(b"[" * 100_000), "not-safetensors"),
        (hostile({"__metadata__": {"other": "{}"}}), "bad-message"),
        (hostile({"__metadata__": {"message": "{}"}}), "bad-message"),
        (b"x" * ((1 << 20) + 1), "too-large"),
        (
            hostile({"__metadata__": {"message": HEADER.model_dump_json()},
                     "a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 4]}}),
            "not-safetensors",
        ),
        (
            hostile({"__metadata__": {"message": HEADER.model_dump_json()},
                     "a": {"dtype": "BF16", "shape": [0], "data_offsets": [0, 0]}}),
            "not-safetensors",
        ),
    ],
)  # fmt: skip
def test_hostile_bytes_are_refused_with_a_reason(data: bytes, why: str) -> None:
    with pytest.raises(EnvelopeError) as caught:
        unpack(data)
    assert caught.value.reason == why


@given(st.binary(max_size=300))
def test_random_bytes_never_crash(data: bytes) -> None:
    good = codecs.pack(HEADER, {"a": np.zeros(4, np.float32)})
    reasons = set()
    for candidate in (data, good[: len(data)], good[: len(data)] + data):
        try:
            unpack(candidate)
        except EnvelopeError as error:
            reasons.add(error.reason)
    assert reasons <= {"not-safetensors", "bad-message", "too-large", "unsupported-version"}


def test_layouts_survive_the_wire() -> None:
    layout = Layout(
        (Item("w", (3, 4), "mean", "weights", init="uniform:0.1"), Item("m", (), "moments", "agreement"))
    )
    assert codecs.layout_from(codecs.layout_items(layout)) == layout
    assert codecs.layout_from(codecs.layout_items(layout)).hash == layout.hash
    body = Sealer("site/1", 1, KEY).seal(HEADER, "t", b"k", codecs.pack(HEADER, {}))
    assert dict(body.headers)["content-type"] == SAFETENSORS
