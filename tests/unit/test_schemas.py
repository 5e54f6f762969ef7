"""Messages: strict for writers, lenient for readers, exported and current."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import schemas
from schemas import MESSAGES, Alert, Message, NodeStatus, RoundPlan, UnsupportedVersionError
from schemas.base import Part
from services.schema_export import export, file_name, json_schema
from tests.support.examples import examples

COMMITTED = Path(schemas.__file__).parent / "json"
SHA = "0" * 64
AT = datetime(2026, 1, 31, tzinfo=UTC)


def record_ref(**changes: Any) -> dict[str, Any]:
    values = {"record_id": str(UUID(int=1)), "topic": "t", "partition": 0, "offset": 1}
    return {**values, "time": AT.isoformat(), "score": 2.0, **changes}


def alert(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"alert_id": str(UUID(int=2)), "version": 1, "state": "opened"}
    values |= {"federation": "f", "detector": "d", "node": "s/n", "site": "s", "entity": "e"}
    values |= {"first": record_ref(), "last": record_ref(), "worst": record_ref(), "count": 1, "scores": [2.0]}
    values |= {"score": 2.0, "raw_score": 4.0, "threshold": 2.0, "release_seq": 1, "bundle_id": "b"}
    return {**values, "explained": False, **changes}


def plan(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"federation": "f", "round": 1, "kind": "training", "participants": ["s/n"]}
    values |= {"detector": "d", "schema_hash": SHA, "layout_hash": SHA, "base_release_seq": 1}
    return {**values, "opened_at": AT.isoformat(), **changes}


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: m.TYPE)
def test_the_committed_schema_is_current(message: type[Message]) -> None:
    committed = (COMMITTED / file_name(message)).read_text(encoding="utf-8")
    assert committed == json_schema(message), "run `streamgauge schemas export` and commit schemas/json"


def test_export_writes_every_message_and_removes_stale_files(tmp_path: Path) -> None:
    (tmp_path / "streamgauge.gone.v1.json").write_text("{}")
    written = export(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(written)
    assert {p.name for p in written} == {p.name for p in COMMITTED.glob("*")}
    assert all(json.loads(p.read_text())["title"] == p.name.removesuffix(".json") for p in written)


def test_types_are_unique_and_well_formed() -> None:
    types = [message.TYPE for message in MESSAGES]
    assert len(set(types)) == len(types)
    assert all(name.startswith("streamgauge.") for name in types)


def _parts() -> list[type[Part]]:
    found, waiting = [], [Part]
    while waiting:
        waiting += (children := waiting.pop().__subclasses__())
        found += [c for c in children if c.__module__.startswith("schemas.") and c is not Message]
    return found


@pytest.mark.parametrize("part", _parts(), ids=lambda p: p.__name__)
def test_every_part_is_frozen_and_forbids_unknown_fields(part: type[Part]) -> None:
    assert part.model_config["frozen"] is True
    assert part.model_config["extra"] == "forbid"


def test_a_writer_cannot_write_unknown_fields() -> None:
    with pytest.raises(ValidationError, match="colour"):
        RoundPlan(**plan(colour="red"))


def test_a_reader_ignores_unknown_fields_at_every_depth() -> None:
    later = alert(colour="red", first=record_ref(colour="red"))
    assert Alert.read(json.dumps(later)) == Alert.read(json.dumps(alert()))


class Third(Message):
    """A message in its third major version."""

    TYPE: ClassVar[str] = "streamgauge.third"
    VERSION: ClassVar[int] = 3

    field: int


@pytest.mark.parametrize("version", [2, 3])
def test_the_current_and_the_previous_major_are_read(version: int) -> None:
    assert Third.read(json.dumps({"schema_version": version, "field": 1})).field == 1


@pytest.mark.parametrize("version", [-1, 0, 1, 4, 100])
@pytest.mark.parametrize("rest", [{"field": 1}, {"renamed": 1}], ids=["same form", "other form"])
def test_another_major_is_refused_as_such_whatever_its_form(version: int, rest: dict[str, int]) -> None:
    with pytest.raises(UnsupportedVersionError, match=f"schema_version {version}.*3 and 2.*upgrade"):
        Third.read(json.dumps({"schema_version": version, **rest}))


@pytest.mark.parametrize(
    "value", [b"", b"{", b"\xff\xfe", b"[]", b"null", b"[" * 100_000, b'{"schema_version":"x"}']
)
def test_what_is_no_message_is_a_validation_error(value: bytes) -> None:
    with pytest.raises(ValidationError):
        RoundPlan.read(value)


@examples(15)
@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_foreign_bytes_never_cause_another_error(value: bytes | str) -> None:
    for message in (RoundPlan, NodeStatus, Alert):
        with pytest.raises((ValidationError, UnsupportedVersionError)):
            message.read(value)


def test_json_round_trip_is_exact_and_stable() -> None:
    written = Alert(**alert())
    assert Alert.read(written.to_json()) == written
    assert Alert.read(written.to_json()).to_json() == written.to_json()


@pytest.mark.parametrize("field", ["score", "raw_score", "threshold"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_scores_are_finite_and_not_negative(field: str, value: float) -> None:
    with pytest.raises(ValidationError, match=field):
        Alert(**alert(**{field: value}))


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), 0.0, 11.0])
def test_a_plan_cannot_carry_an_absurd_learning_rate(rate: float) -> None:
    with pytest.raises(ValidationError, match="learning_rate"):
        RoundPlan(**plan(learning_rate=rate))
