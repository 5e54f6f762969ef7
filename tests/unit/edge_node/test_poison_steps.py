"""Whatever step a record makes throw: it is set aside, its neighbours are handled once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from services.edge_node.alerts import AlertWriter
from services.edge_node.build import Hooks
from services.edge_node.counts import Counts
from services.edge_node.poison import SystematicError
from services.edge_node.scored import Scored as ScoredRecords
from services.edge_node.scorer import Scorer
from services.edge_node.settings import EdgeSettings
from services.runtime.memory import MemoryBroker
from streamgauge.errors import StateError
from streamgauge.profiles.decoder import Decoder
from streamgauge.profiles.imputing import Imputer
from streamgauge.stream.grouping import AlertGrouper
from tests.support.edge import alerts_of, at_end, edge_settings, memory_broker
from tests.unit.edge_node.kit import RunningNode, Scored, bad_flow, good, raw, send

POISON, N = 7, 12


def throws_if(cls: type, name: str, guilty: Callable[..., bool], after: bool = False) -> Any:
    """`cls.name` that throws for the guilty, before or after its work."""
    real = getattr(cls, name)

    def fussy(self: Any, *args: Any, **keywords: Any) -> Any:
        result = real(self, *args, **keywords) if after else None
        if guilty(*args):
            raise RuntimeError("not this one")
        return result if after else real(self, *args, **keywords)

    return fussy


STEPS: dict[str, tuple[type, str, Callable[..., bool], bool]] = {
    "decode": (Decoder, "decode", lambda records: any(r.offset == POISON for r in records), False),
    "impute": (Imputer, "impute", lambda decoded, last: POISON in decoded.times % 100, True),
    "score": (Scorer, "raw_scores", lambda x: bool((x[:, 3] > 6.9).any()), True),
    "group": (AlertGrouper, "step", lambda batch, payload: POISON in batch.offsets, True),
    "payload": (ScoredRecords, "payload", lambda row, scorer, threshold: True, False),
    "alert": (
        AlertWriter,
        "write",
        lambda changes, scorer, now: any(c.last.offset == POISON for *_, c in changes),
        True,
    ),
}
"""The poison record has offset and second 7, power 1000 and is abnormal."""


def lives(settings: EdgeSettings, broker: MemoryBroker) -> tuple[int, Scored, Counts]:
    """Start again after each defect until all is read: number of lives, the last life's ledger, the counts."""
    for number in range(1, 10):
        ledger = Scored()
        node = RunningNode(settings, broker, Hooks(ledger=ledger))
        try:
            node.turns(partial(at_end, node.edge))
        except RuntimeError:
            node.crash()
            continue
        node.end()
        return number, ledger, node.loop.node.counts
    raise AssertionError("it crashes for ever")


@pytest.mark.parametrize("step", STEPS)
def test_the_record_is_set_aside_and_its_neighbours_are_handled_once(
    step: str, tmp_path: Path, profile_path: Path, bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls, name, guilty, after = STEPS[step]
    monkeypatch.setattr(cls, name, throws_if(cls, name, guilty, after))
    broker = memory_broker("records", 1)
    records = [good(i, flow=None if i % 3 == 2 else 0.1) for i in range(N)]
    records[POISON] = bad_flow(POISON, power=1000.0)
    send(broker, *records)
    settings = edge_settings(
        tmp_path / "state", profile_path, pinned_bundle=bundle_path, checkpoint_interval_s=3600
    )
    number, _, counts = lives(settings, broker)
    assert number == (4 if step in ("group", "payload", "alert") else 1)
    letters = {(dict(r.headers)["sg_reason"], r.key) for r in broker.records("streamgauge.dead-letters")}
    assert letters == {(b"crashed", b"records:0:7")}
    assert (counts.scored, dict(counts.topics["records"].rejected)) == (N - 1, {"crashed": 1})
    assert counts.topics["records"].imputed["flow", "last"] == sum(i % 3 == 2 for i in range(N))


@pytest.mark.parametrize("error", [MemoryError("no room"), StateError("does not fit"), OSError("nothing works")])
@pytest.mark.parametrize("starts", [1, 5])
def test_an_error_that_hits_all_records_ends_the_process_and_sets_none_aside(
    tmp_path: Path,
    profile_path: Path,
    bundle_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    starts: int,
) -> None:
    def broken(self: Scorer, x: Any) -> Any:
        raise error

    broker = memory_broker("records", 1)
    send(broker, *map(good, range(N)), *([raw(b"not JSON")] * 3))
    settings = edge_settings(tmp_path / "state", profile_path, pinned_bundle=bundle_path)
    with monkeypatch.context() as patch:
        patch.setattr(Scorer, "raw_scores", broken)
        for _ in range(starts):
            node = RunningNode(settings, broker)
            with pytest.raises((type(error), SystematicError), match=str(error)):
                node.turns(partial(at_end, node.edge))
            node.crash()
    assert not broker.records("streamgauge.dead-letters")
    number, ledger, counts = lives(settings, broker)
    assert (number, [offset for _, offset in ledger.offsets]) == (1, list(range(N)))
    assert dict(counts.topics["records"].rejected) == {"malformed-json": 3}


def test_what_cannot_be_explained_is_an_alert_all_the_same(
    tmp_path: Path, profile_path: Path, bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guilty = throws_if(Scorer, "explain", lambda x: bool((x[:, 3] > 6.9).any()))
    monkeypatch.setattr(Scorer, "explain", guilty)
    broker = memory_broker("records", 1)
    send(broker, bad_flow(0, "a"), bad_flow(1, "b", power=1000.0), bad_flow(2, "c"))
    settings = edge_settings(tmp_path / "state", profile_path, pinned_bundle=bundle_path)
    number, _, counts = lives(settings, broker)
    assert (number, counts.scored) == (1, 3)
    explained = {a.entity: a.explained for a in alerts_of(broker.records("streamgauge.alerts")).values()}
    assert explained == {"a": True, "b": False, "c": True}
    assert broker.records("streamgauge.dead-letters") == []
