"""Foreign bytes never do more than raise an `EnvelopeError`; zombies and old statuses do not count."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import ModelUpdate, NodeStatus, Vote
from services.aggregator.fences import Fences
from services.aggregator.intake import Intake, Limits
from services.aggregator.letters import vote_means
from services.aggregator.node_table import NodeTable
from services.runtime.codecs import layout_items, pack
from services.runtime.envelope import Opened, Sealer
from services.runtime.errors import EnvelopeError
from services.runtime.log import Outgoing, ReadRecord
from services.runtime.signing import SigningKey
from streamgauge.federation.merging import MergePolicy
from streamgauge.layout import Item, Layout
from tests.integration.aggregator_world import LAYOUT, SCHEMA

KEY = SigningKey.generate()
INTAKE = Intake("plant", "aggregator", lambda: {"a/1": KEY.verify_key}, Limits(MergePolicy(), 1000, 10_000))
SEALER = Sealer("a/1", 7, KEY)
UPDATE = ModelUpdate(
    federation="plant",
    node="a/1",
    site="a",
    round=1,
    kind="training",
    base_release_seq=1,
    schema_hash=SCHEMA,
    layout_hash=LAYOUT.hash,
    records=10,
)
GOOD = pack(UPDATE, {})


def status(incarnation: int = 7, **changes: object) -> NodeStatus:
    fields = {
        "federation": "plant",
        "node": "a/1",
        "site": "a",
        "incarnation": incarnation,
        "at": datetime.now(UTC),
        "phase": "watching",
        "detector": "autoencoder",
        "schema_hash": SCHEMA,
        "layout_hash": LAYOUT.hash,
        "layout": layout_items(LAYOUT),
    }
    return NodeStatus.model_validate({**fields, **changes})


def record(outgoing: Outgoing) -> ReadRecord:
    return ReadRecord(outgoing.topic, 0, 0, 0, outgoing.key, outgoing.value, outgoing.headers)


def opened(incarnation: int = 7, sequence: int = 1) -> Opened:
    return Opened(NodeStatus.TYPE, "a/1", incarnation, sequence, 0, b"")


@given(body=st.binary(max_size=300), vote=st.booleans())
def test_random_bytes_are_refused(body: bytes, vote: bool) -> None:
    arrived = record(SEALER.seal(UPDATE, "updates", b"a/1", body=body))
    envelope = INTAKE.open(arrived)
    read = partial(INTAKE.contribution, Vote) if vote else partial(INTAKE.contribution, ModelUpdate)
    with pytest.raises(EnvelopeError):
        read(arrived, envelope)


@given(st.data())
def test_damaged_updates_are_refused_or_parse(data: st.DataObject) -> None:
    body = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    arrived = record(SEALER.seal(UPDATE, "updates", b"a/1", body=bytes(body)))
    with suppress(EnvelopeError):
        INTAKE.contribution(ModelUpdate, arrived, INTAKE.open(arrived))


@given(st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=40)), max_size=12), st.binary(max_size=50))
def test_random_headers_are_refused(headers: list[tuple[str, bytes]], value: bytes) -> None:
    with pytest.raises(EnvelopeError):
        INTAKE.open(ReadRecord("updates", 0, 0, 0, b"k", value, tuple(headers)))


def test_a_status_must_be_of_the_process_that_signed_it() -> None:
    arrived = record(SEALER.seal(status(incarnation=8), "nodes", b"a/1"))
    with pytest.raises(EnvelopeError, match="incarnation 8"):
        INTAKE.status(arrived, INTAKE.open(arrived))
    wrong_hash = record(SEALER.seal(status(layout_hash=SCHEMA), "nodes", b"a/1"))
    with pytest.raises(EnvelopeError, match="bad-layout"):
        INTAKE.status(wrong_hash, INTAKE.open(wrong_hash))
    good = status()
    fine = record(SEALER.seal(good, "nodes", b"a/1"))
    assert INTAKE.status(fine, INTAKE.open(fine)) == good
    other = record(SEALER.seal(status(federation="other"), "nodes", b"a/1"))
    assert INTAKE.status(other, INTAKE.open(other)) is None


W = Item("w", (2,), "mean", "weights")


@pytest.mark.parametrize(
    "items",
    [
        (),
        (Item("scaler", (4,), "moments", "agreement"),),
        (Item("w", (2,), "local", "weights"),),
        (W, Item("v", (2,), "moments", "weights")),
        (W, Item("v", (2,), "no-such-kind", "weights")),
        (W, Item("v", (2,), "comoments", "under_candidate", robust="median")),
        (W, Item("v", (2**30,), "comoments", "under_candidate")),
        (W, Item("v", (), "centroids", "under_candidate")),
        (W, Item("v", (0, 2**60), "mean", "weights")),
    ],
)
def test_layouts_that_no_round_could_be_held_with_are_refused(items: tuple[Item, ...]) -> None:
    layout = object.__new__(Layout)  # made by somebody else's code, which checks nothing
    object.__setattr__(layout, "items", items)
    arrived = record(
        SEALER.seal(status(layout=layout_items(layout), layout_hash=layout.hash), "nodes", b"a/1"),
    )
    with pytest.raises(EnvelopeError, match="bad-layout"):
        INTAKE.status(arrived, INTAKE.open(arrived))


def test_no_finite_losses_of_votes_have_a_mean_that_cannot_be_taken() -> None:
    vote = Vote(
        federation="plant",
        node="a/1",
        site="a",
        round=1,
        candidate_sha256=SCHEMA,
        approve=True,
        reason="",
        auc_candidate=1,
        auc_release=1,
        false_alarm_rate=0,
        loss=1.7e308,
        records=1,
    )
    assert vote_means([vote, vote])["loss"] == pytest.approx(1.7e308)


def test_fences_are_judged_along_the_log() -> None:
    fences = Fences({("updates", "a/1"): 5})
    fences.check("updates", opened(5), 0)
    assert fences.take_changed(frozenset({"updates"})) == {}
    fences.check("updates", opened(7), 0)
    with pytest.raises(EnvelopeError, match="old-incarnation"):
        fences.check("updates", opened(6), 0)
    fences.check("votes", opened(6), 0)
    with pytest.raises(EnvelopeError, match="old-incarnation"):
        fences.check("votes", opened(8), at_least=9)
    assert fences.take_changed(frozenset({"votes"})) == {("votes", "a/1"): 6}
    assert fences.take_changed(frozenset({"updates"})) == {("updates", "a/1"): 7}


def test_the_newest_status_counts_while_the_node_is_heard() -> None:
    table = NodeTable({}, "autoencoder", timeout_s=10)
    table.report(status(release_seq=1), opened(sequence=3), now=100.0)
    table.report(status(release_seq=0), opened(sequence=2), now=101.0)  # repeated by a producer: older
    (view,) = table.views(105.0)
    assert view.release_seq == 1
    assert table.views(111.0) == ()
    assert table.views(80.0) == ()
    assert table.counts(111.0) == {"alive": 0, "other-detector": 0, "silent": 1}
    with pytest.raises(EnvelopeError, match="old-incarnation"):
        table.report(status(incarnation=6), opened(incarnation=6), now=102.0)
    table.report(status(incarnation=8, detector="mlp"), opened(incarnation=8), now=112.0)
    assert table.views(112.0) == ()
    assert table.counts(112.0)["other-detector"] == 1
    assert table.layout_status(LAYOUT.hash) is not None
    assert table.layout_status(SCHEMA) is None
    assert list(table.take_changed()) == ["a/1"]
    assert table.take_changed() == {}
