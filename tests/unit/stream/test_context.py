"""A partition's context survives a trip through JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from streamgauge.errors import StateError
from streamgauge.stream.context import PartitionContext
from streamgauge.stream.grouping import GroupingPolicy, ScoredBatch

POLICY = GroupingPolicy()


def used_context() -> PartitionContext:
    context = PartitionContext.fresh("topic-id", 0, POLICY)
    times, ones = np.array([1.5, 2.5]), np.array([2.0, 3.0])
    context.grouper.step(
        ScoredBatch(times, ["a", "b"], ones, ones, np.arange(2), np.zeros(2, int)), lambda i: {"i": i}
    )
    context.last_values.fill(np.ones((2, 1)), times, ["a", "b"], np.array([9.0]))
    context.next_offset = 2
    return context


def test_round_trip() -> None:
    state = used_context().to_state()
    again = PartitionContext.from_state(json.loads(json.dumps(state)), POLICY)
    assert json.dumps(again.to_state()) == json.dumps(state)
    assert (again.low_watermark, again.grouper.watermark, again.grouper.open_count) == (2, 2.5, 2)


def test_unknown_format_is_refused() -> None:
    with pytest.raises(StateError, match="format 99"):
        PartitionContext.from_state({**used_context().to_state(), "format": 99}, POLICY)


def test_damaged_state_is_refused() -> None:
    state = used_context().to_state()
    del state["grouper"]["watermark"]
    with pytest.raises(StateError, match="damaged"):
        PartitionContext.from_state(state, POLICY)
