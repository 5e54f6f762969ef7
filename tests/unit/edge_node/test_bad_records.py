"""Bad records all the way through a node: a dead letter with its reason, or imputed; neighbours are scored."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from services.edge_node.build import Hooks
from services.runtime.log import Outgoing
from services.runtime.memory import MemoryBroker
from tests.support.edge import MemoryClients, alerts_of, at_end, edge_settings, memory_broker, run_until
from tests.support.plant import PROFILE, START_S
from tests.unit.edge_node.kit import RunningNode, Scored, bad_flow, good, raw, send


def text(record: dict[str, Any]) -> bytes:
    return json.dumps(record).encode()


def without(name: str) -> dict[str, Any]:
    return {k: v for k, v in good(1).items() if k != name}


BIG = 10_000_000
BAD: dict[str, tuple[bytes | None, str]] = {
    "malformed JSON": (b'{"time": 1', "malformed-json"),
    "an array": (b"[1, 2]", "malformed-json|wrong-type"),
    "empty": (b"", "malformed-json|null-value"),
    "missing time": (text(without("time")), "missing-time"),
    "time of a word": (text(good(1, time="soon")), "bad-time|wrong-type"),
    "absurd time": (text(good(1, time=1e300)), "bad-time"),
    "missing entity": (text(without("machine")), "missing-entity"),
    "text in a number": (text(good(1, flow="much")), "wrong-type"),
    "truth in a number": (text(good(1, flow=True)), "wrong-type"),
    "number beyond float32": (text(good(1, flow=1e39)), "not-finite"),
    "null value": (None, "null-value"),
    "10 MB": (text(good(1, note="x" * BIG)), "too-large"),
    "UTF-16": (json.dumps(good(1)).encode("utf-16"), "wrong-encoding|malformed-json"),
    "latin-1": (json.dumps(good(1, machine="é"), ensure_ascii=False).encode("latin-1"), "wrong-encoding"),
    "nearly empty": (text({"time": START_S, "machine": "m", "power": 3.0}), "too-many-missing"),
    "required field missing": (text(without("power")), "missing-field"),
    "entity of lone surrogates": (text(good(1, machine="\ud800")), "wrong-encoding|malformed-json|bad-entity"),
    "deep nesting": (b'{"a":' + b"[" * 100_000, "malformed-json"),
    "endless entity": (text(good(1, machine="x" * 5000)), "bad-entity"),
}


NULL: Any = None
HEADERS: dict[str, tuple[tuple[str, bytes], ...]] = {
    "null": (("content-type", NULL), ("trace", NULL)),
    "huge": (("content-type", b"x" * 1_048_300),),
}


@pytest.mark.parametrize("window", ["", "reorder_s = 1\n"])
@pytest.mark.parametrize("name", HEADERS)
def test_strange_headers_stop_nothing(name: str, window: str, tmp_path: Path, bundle_path: Path) -> None:
    profile = tmp_path / "profile.toml"
    profile.write_text(window + PROFILE)
    broker = memory_broker("records", 1)
    bodies = [text(good(0)), text(good(1)), b"{", text(good(9))]
    send(broker, *map(raw, bodies))
    (log,) = broker.topics["records"].logs
    log[:] = [record._replace(headers=HEADERS[name]) for record in log]  # others' producers send null headers too
    ledger, letters = run(tmp_path, profile, bundle_path, broker)
    assert [offset for _, offset in ledger.offsets][:2] == [0, 1]
    assert [dict(letter.headers)["sg_position"] for letter in letters] == [b"records:0:2"]


def run(tmp_path: Path, profile: Path, bundle: Path, broker: MemoryBroker) -> tuple[Scored, list[Any]]:
    ledger = Scored()
    settings = edge_settings(tmp_path / "state", profile, pinned_bundle=bundle)
    run_until(settings, MemoryClients(broker), at_end, Hooks(ledger=ledger))
    return ledger, broker.records("streamgauge.dead-letters")


@pytest.mark.parametrize("name", BAD)
def test_it_becomes_a_dead_letter_and_its_neighbours_are_scored(
    name: str, tmp_path: Path, profile_path: Path, bundle_path: Path
) -> None:
    value, reasons = BAD[name]
    broker = memory_broker("records", 1)
    send(broker, good(0), raw(value, b"the key"), good(2))
    ledger, letters = run(tmp_path, profile_path, bundle_path, broker)
    assert ledger.offsets == [("records:0", 0), ("records:0", 2)]
    (letter,) = letters
    headers = dict(letter.headers)
    assert headers["sg_reason"].decode() in reasons.split("|")
    assert headers["sg_detail"]
    assert (headers["sg_position"], headers["sg_node"], headers["sg_key"]) == (
        b"records:0:1",
        b"site/one",
        b"the key",
    )
    assert letter.key == b"records:0:1"
    assert letter.value == (value or b"")[:65536]
    assert ("sg_null" in headers) == (value is None)
    if value is not None and len(value) > 65536:
        assert headers["sg_sha256"].decode() == hashlib.sha256(value).hexdigest()
        assert int(headers["sg_size"]) == len(value)


FINE: dict[str, tuple[bytes, dict[tuple[str, str], int]]] = {
    "NaN, by constant": (json.dumps(good(1, level=float("nan"))).encode(), {("level", "constant"): 1}),
    "Infinity, masked": (json.dumps(good(1, pressure=float("inf"))).encode(), {("pressure", "mask"): 1}),
    "null, by last": (text(good(1, flow=None)), {("flow", "last"): 1}),
    "missing category": (text(without("mode")), {("mode", "mask"): 1}),
    "unlisted category": (text(good(1, mode="chaos")), {("mode", "other"): 1}),
    "unknown fields": (text(good(1, more=[{"a": [1]}], asset={"b": None})), {}),
    "latin-1 in a field not used": (json.dumps(good(1, note="é"), ensure_ascii=False).encode("latin-1"), {}),
    "byte order mark": (b"\xef\xbb\xbf" + text(good(1)), {}),
}


@pytest.mark.parametrize("name", FINE)
def test_what_the_profile_has_a_rule_for_is_imputed_counted_and_scored(
    name: str, tmp_path: Path, profile_path: Path, bundle_path: Path
) -> None:
    value, imputed = FINE[name]
    broker = memory_broker("records", 1)
    send(broker, good(0), raw(value), good(2))
    settings = edge_settings(tmp_path / "state", profile_path, pinned_bundle=bundle_path)
    node = RunningNode(settings, broker)
    node.turns(lambda: at_end(node.edge))
    assert node.loop.node.counts.scored == 3
    assert dict(node.loop.node.counts.topics["records"].imputed) == imputed
    assert broker.records("streamgauge.dead-letters") == []
    node.crash()


def test_a_null_key_matters_only_where_the_key_is_the_entity(tmp_path: Path, bundle_path: Path) -> None:
    by_key = tmp_path / "keyed.toml"
    by_key.write_text(PROFILE.replace('field = "machine"', 'source = "key"'))
    by_field = tmp_path / "plain.toml"
    by_field.write_text(PROFILE)
    for profile, scored in ((by_key, [0, 2]), (by_field, [0, 1, 2])):
        broker = memory_broker("records", 1)
        send(broker, good(0), raw(text(good(1)), None), good(2))
        ledger, letters = run(tmp_path / profile.stem, profile, bundle_path, broker)
        assert [offset for _, offset in ledger.offsets] == scored
        assert [dict(r.headers)["sg_reason"] for r in letters] == [b"missing-entity"] * (3 - len(scored))


def test_all_of_them_in_one_poll(tmp_path: Path, profile_path: Path, bundle_path: Path) -> None:
    broker = memory_broker("records", 1)
    mixed: list[dict[str, Any] | Outgoing] = []
    for i, (value, _) in enumerate(BAD.values()):
        mixed += [raw(value), good(2 * i)]
    send(broker, *mixed)
    ledger, letters = run(tmp_path, profile_path, bundle_path, broker)
    assert [offset for _, offset in ledger.offsets] == list(range(1, 2 * len(BAD), 2))
    assert sorted(int(r.key.rpartition(b":")[2]) for r in letters) == list(range(0, 2 * len(BAD), 2))


CONTEXTS: dict[str, bytes] = {
    "a number of 5000 digits": b"9" * 5000,
    "a huge float": b"1e999",
    "deep nesting": b"[" * 2000 + b"]" * 2000,
    "a lone surrogate": b'"\\ud800"',
    "an object": b'{"a": [1, null, "\\ud83d"]}',
    "a long text": b'"' + b"x" * 100_000 + b'"',
}


@pytest.mark.parametrize("name", CONTEXTS)
def test_an_odd_context_field_costs_neither_the_alert_nor_the_node(
    name: str, tmp_path: Path, profile_path: Path, bundle_path: Path
) -> None:
    value = text(bad_flow(1, asset="PLACE")).replace(b'"PLACE"', CONTEXTS[name])
    broker = memory_broker("records", 1)
    send(broker, good(0), raw(value), good(2))
    ledger, letters = run(tmp_path, profile_path, bundle_path, broker)
    rejected = [int(r.key.rpartition(b":")[2]) for r in letters]
    assert sorted([offset for _, offset in ledger.offsets] + rejected) == [0, 1, 2]
    assert rejected in ([], [1])
    assert len(alerts_of(broker.records("streamgauge.alerts"))) == 1 - len(rejected)


def test_a_row_that_makes_the_model_raise_is_set_aside(
    tmp_path: Path, profile_path: Path, bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.edge_node.scorer import Scorer

    real = Scorer.raw_scores

    def fussy(self: Scorer, x: Any) -> Any:
        if (x[:, 3] > 6.9).any():
            raise RuntimeError("numbers like this are not for me")
        return real(self, x)

    monkeypatch.setattr(Scorer, "raw_scores", fussy)
    broker = memory_broker("records", 1)
    send(broker, *(good(i, power=1000.0 if i in (3, 4, 11) else 20.0) for i in range(12)))
    ledger, letters = run(tmp_path, profile_path, bundle_path, broker)
    assert [offset for _, offset in ledger.offsets] == [i for i in range(12) if i not in (3, 4, 11)]
    assert [dict(r.headers)["sg_reason"] for r in letters] == [b"crashed"] * 3
    assert b"not for me" in dict(letters[0].headers)["sg_detail"]
