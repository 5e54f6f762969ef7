"""Alert messages: ids, explanations within their budget, and what they say about the records."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import Alert
from services.edge_node.alerts import ExplanationBudget
from services.edge_node.bundle import Bundle
from services.edge_node.ids import alert_id, event_time, record_id
from services.runtime.log import Outgoing
from streamgauge.calibration.threshold import Threshold
from tests.support.edge import MemoryClients, alerts_of, at_end, edge_settings, memory_broker, run_until
from tests.support.plant import START_S
from tests.unit.edge_node.kit import RunningNode, bad_flow, good, raw, send

Record = dict[str, Any]


def alerts(
    tmp_path: Path, profile: Path, bundle: Path, *records: Record | Outgoing, partitions: int = 1, **changes: Any
) -> list[Alert]:
    """Every alert message of a run over the records, in order."""
    broker = memory_broker("records", partitions)
    send(broker, *records)
    settings = edge_settings(tmp_path / "state", profile, pinned_bundle=bundle, **changes)
    run_until(settings, MemoryClients(broker), at_end)
    found = [Alert.read(r.value or b"") for r in broker.records("streamgauge.alerts")]
    assert all(r.key == Alert.read(r.value or b"").entity.encode() for r in broker.records("streamgauge.alerts"))
    return found


# -- ids -------------------------------------------------------------------------------------------------

POSITION = st.tuples(
    st.text(max_size=5), st.text(max_size=5), st.integers(0, 99), st.integers(0, 2**40), st.integers(0, 99)
).filter(lambda p: "/" not in p[0] + p[1])


@given(POSITION, POSITION)
def test_records_have_one_id_if_and_only_if_they_have_one_position(
    a: tuple[str, str, int, int, int], b: tuple[str, str, int, int, int]
) -> None:
    assert (record_id(*a) == record_id(*b)) == (a == b)


def test_ids_are_pinned() -> None:
    """They must be the same in every version: a repeat after an upgrade is no new alert."""
    record = record_id("records", "life", 1, 2, 0)
    assert str(record) == "89f99369-39bd-55d0-adec-a0cce459c112"
    assert str(alert_id("f", "d", record)) == "4db907e1-caa0-5368-96d8-28f64ec650a9"


def test_event_time_is_exact_to_the_microsecond() -> None:
    assert event_time(START_S + 0.000001).isoformat() == "2025-06-15T15:06:40.000001+00:00"


def test_alerts_opened_in_one_poll_have_ids_of_their_own(
    tmp_path: Path, profile_path: Path, bundle_path: Path
) -> None:
    records = [raw(json.dumps(bad_flow(0, f"m{i}")).encode(), partition=i % 2) for i in range(6)]
    found = alerts(tmp_path, profile_path, bundle_path, *records, partitions=2)
    opened = [a for a in found if a.state == "opened"]
    assert len(opened) == 6
    assert len({a.alert_id for a in opened}) == 6
    assert len({a.first.record_id for a in opened}) == 6
    assert {a.entity for a in opened} == {f"m{i}" for i in range(6)}


def test_what_depends_on_the_setup_is_in_the_id(tmp_path: Path, profile_path: Path, bundle_path: Path) -> None:
    broker = memory_broker("records", 1)
    send(broker, bad_flow(0))
    for name, changes in {"a": {}, "b": {"federation": "other"}, "c": {"records_cluster_name": "other"}}.items():
        settings = edge_settings(
            tmp_path / name, profile_path, pinned_bundle=bundle_path, group_id=name, node=f"site/{name}", **changes
        )
        run_until(settings, MemoryClients(broker), at_end)
    assert len(alerts_of(broker.records("streamgauge.alerts"))) == 3


# -- content ---------------------------------------------------------------------------------------------


def threshold_of(bundle: Path) -> Threshold:
    threshold = Bundle.load(bundle).info.threshold
    assert threshold is not None
    return threshold


def test_an_alert_says_where_when_how_much_and_why(tmp_path: Path, profile_path: Path, bundle_path: Path) -> None:
    records = [good(0), bad_flow(1), bad_flow(2, flow=10.0, mode="manual"), bad_flow(3, pressure=None), good(200)]
    found = alerts(tmp_path, profile_path, bundle_path, *records)
    assert [(a.state, a.version, a.count) for a in found] == [("opened", 1, 1), ("closed", 3, 3)]
    closed = found[-1]
    assert (closed.first.offset, closed.last.offset) == (1, 3)
    assert closed.first.time == event_time(START_S + 1)
    assert closed.score == closed.worst.score == max(closed.scores)
    assert closed.raw_score == pytest.approx(closed.score * closed.threshold)
    held_out = threshold_of(bundle_path).held_out
    assert held_out > 100
    assert closed.p_value == 1 / (1 + held_out)
    assert closed.context == {"asset": "hall 1"}
    assert closed.close_reason == "gap"
    assert (closed.release_seq, closed.federation, closed.site) == (0, "default", "site")
    first = found[0]
    assert first.explained
    assert first.features[0].name in ("flow", "pressure")
    assert sum(f.contribution for f in first.features) == pytest.approx(1.0, abs=0.01)
    assert {f.name: f.value for f in first.features}["flow"] == 9.0


def test_a_score_is_relative_to_the_threshold_beside_it_also_after_a_swap(
    tmp_path: Path, profile_path: Path, bundle_path: Path
) -> None:
    broker = memory_broker("records", 1)
    send(broker, bad_flow(0))
    node = RunningNode(edge_settings(tmp_path / "state", profile_path, pinned_bundle=bundle_path), broker)
    node.turns(lambda: at_end(node.edge))
    old, line = Bundle.load(bundle_path), threshold_of(bundle_path)
    lower = replace(line, value=line.value / 2)
    node.loop.swap(replace(old, info=replace(old.info, threshold=lower)))
    send(broker, bad_flow(1))
    node.turns(lambda: at_end(node.edge))
    node.crash()
    opened, grown = (Alert.read(r.value or b"") for r in broker.records("streamgauge.alerts"))
    assert (opened.state, grown.state, grown.worst.offset) == ("opened", "grown", 1)
    for alert in (opened, grown):
        assert alert.score == pytest.approx(alert.raw_score / alert.threshold)
    assert grown.threshold == lower.value
    assert grown.bundle_id == opened.bundle_id


def test_a_masked_feature_has_no_value_and_a_category_its_name(
    tmp_path: Path, profile_path: Path, bundle_path: Path
) -> None:
    record = bad_flow(0, mode="unheard of", flow=10.0)
    del record["pressure"]
    (opened, *_) = alerts(tmp_path, profile_path, bundle_path, record, alerts={"features": 5})
    values = {f.name: f.value for f in opened.features}
    assert values.get("pressure") is None
    assert values["mode"] == "other"


def test_a_cut_alert_names_the_one_it_continues(tmp_path: Path, profile_path: Path, bundle_path: Path) -> None:
    found = alerts(
        tmp_path, profile_path, bundle_path, *(bad_flow(i) for i in range(9)), alerts={"max_records": 4}
    )
    opened = [a for a in found if a.state == "opened"]
    assert [a.continues for a in opened] == [None, opened[0].alert_id, opened[1].alert_id]
    assert {a.close_reason for a in found if a.state == "closed"} == {"max_records"}


def test_features_are_at_most_as_many_as_set(tmp_path: Path, profile_path: Path, bundle_path: Path) -> None:
    (opened, *_) = alerts(tmp_path, profile_path, bundle_path, bad_flow(0), alerts={"features": 1})
    assert len(opened.features) == 1


# -- the cap on explanations -----------------------------------------------------------------------------


@given(st.floats(0.01, 100), st.lists(st.tuples(st.integers(0, 50), st.floats(0, 5)), max_size=30))
def test_the_budget_is_never_exceeded_and_never_withheld(per_s: float, asked: list[tuple[int, float]]) -> None:
    budget, now, granted = ExplanationBudget(per_s), 100.0, 0
    for wanted, passed in asked:
        now += passed
        taken = budget.take(wanted, now)
        assert 0 <= taken <= wanted
        granted += taken
        assert granted <= max(per_s, 1.0) + per_s * (now - 100.0) + 1e-6
    now += 1 / per_s + 1.0
    assert budget.take(1, now) == 1, "an explanation is due after 1/per_s seconds"


def test_a_budget_of_nothing_explains_nothing() -> None:
    budget = ExplanationBudget(0.0)
    assert [budget.take(5, now) for now in (0.0, 1.0, 1e9)] == [0, 0, 0]


def test_the_worst_are_explained_first_and_the_rest_is_counted(
    tmp_path: Path, profile_path: Path, bundle_path: Path
) -> None:
    broker = memory_broker("records", 1)
    send(broker, *(bad_flow(0, f"m{i}", flow=7.0 + 0.5 * i) for i in range(6)))
    settings = edge_settings(
        tmp_path / "state", profile_path, pinned_bundle=bundle_path, alerts={"explained_per_s": 2.0}
    )
    node = RunningNode(settings, broker)
    node.turns(lambda: at_end(node.edge))
    found = list(alerts_of(broker.records("streamgauge.alerts")).values())
    explained = [a.score for a in found if a.explained]
    assert len(explained) == 2
    assert min(explained) >= max(a.score for a in found if not a.explained)
    assert all(bool(a.features) == a.explained for a in found)
    assert node.loop.node.unexplained == 4
    node.crash()
