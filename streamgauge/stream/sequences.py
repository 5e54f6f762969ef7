"""State that a sequence detector carries from record to record: one for each entity of a source partition."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import StateError
from streamgauge.names import Names
from streamgauge.stream.runs import NOBODY, Floats, Ints, Known, find_runs

if TYPE_CHECKING:
    from streamgauge.detectors.base import Statistics, Weights
    from streamgauge.detectors.sequence import SequenceDetector


@dataclass(frozen=True)
class Step:
    """Records scored, and the state after them, which counts once it is committed.

    Attributes:
        scores: (n,) float64 raw scores; 0 for the first records after an empty state.
        forecasts: (n, e) float32, what the detector needs beside a record to score it: see its `forecast`.
    """

    scores: Floats
    forecasts: NDArray[np.float32]
    _model: str
    _names: dict[str, int]
    _watermark: float
    _overflowed: int
    _last: Known

    @property
    def finite(self) -> bool:
        """Whether every state carried on is finite; one that is not would spoil all later scores of its entity."""
        return bool(np.isfinite(self._last.states).all())


class SequenceStates:
    """The states of one partition's entities under one model.

    Scores depend on the order of the records only, not on where batches end (but for rounding). An entity whose
    records are further apart than the detector's `gap_s` starts with an empty state; so do all when the model
    changes, because a state means nothing to other weights. When `max_entities` have a state, those silent for
    `gap_s` make room; while none is, further entities have no state and are not scored (`overflowed` counts their
    records). Size: about state_size * 4 + 40 bytes an entity, 300 for 32 units.
    """

    def __init__(self, max_entities: int = 10_000) -> None:
        self.max_entities = max_entities
        self.overflowed = 0
        """Records of entities that found no place."""
        self._clear("", 0)

    def _clear(self, model: str, size: int) -> None:
        self._model = model
        self._slots: dict[str, int] = {}
        self._watermark = -np.inf
        self._states = np.zeros((0, size), np.float32)
        self._times: Floats = np.zeros(0)
        self._ages: Ints = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self._slots)

    def step(
        self,
        detector: SequenceDetector,
        model: tuple[str, Weights, Statistics],
        x: NDArray[np.float32],
        times: Floats,
        entities: Sequence[str],
    ) -> Step:
        """Score the next records; changes nothing until `commit`.

        Args:
            model: its name, weights and statistics; the states of another name are forgotten.
            x: (n, width) float32, standardised, in log order. Not modified.
            times: (n,) event time in seconds, finite.
            entities: n names.
        """
        if model[0] != self._model:
            fresh = SequenceStates(self.max_entities)
            fresh._clear(model[0], detector.state_size)
            fresh.overflowed = self.overflowed
            return fresh.step(detector, model, x, times, entities)
        names, slots, reused = self._assign(entities, times, detector.gap_s)
        runs = find_runs(slots, reused, times, self._known, detector.gap_s)
        scores, forecasts, states = runs.score(detector, model[1], model[2], x)
        scores[runs.ages < detector.settle] = 0.0
        last = runs.last(slots, times, states)
        watermark = float(max(self._watermark, times.max(initial=-np.inf)))
        overflowed = self.overflowed + int((slots == NOBODY).sum())
        return Step(scores, forecasts, model[0], names, watermark, overflowed, last)

    def commit(self, step: Step) -> None:
        """Make the state after a step the state; steps are committed in the order in which they were made."""
        last = step._last
        if step._model != self._model:
            self._clear(step._model, last.states.shape[1])
        self._slots, self._watermark, self.overflowed = step._names, step._watermark, step._overflowed
        more = len(self._slots) - len(self._times)
        if more > 0:
            more = min(max(more, len(self._times)), self.max_entities - len(self._times))
            self._states = np.concatenate([self._states, np.zeros((more, last.states.shape[1]), np.float32)])
            self._times = np.concatenate([self._times, np.full(more, -np.inf)])
            self._ages = np.concatenate([self._ages, np.zeros(more, np.int64)])
        self._states[last.slots], self._times[last.slots] = last.states, last.times
        self._ages[last.slots] = last.ages

    def _assign(
        self, entities: Sequence[str], times: Floats, gap_s: float
    ) -> tuple[dict[str, int], Ints, NDArray[np.bool_]]:
        """Names and slots after these records, the slot of each, and where a slot has just changed hands."""
        slots = Names.of(entities).numbers(self._slots.get, NOBODY)
        reused = np.zeros(len(slots), bool)
        if (slots >= 0).all():
            return self._slots, slots, reused
        names, watermark = dict(self._slots), self._watermark
        owners: dict[int, str] = {}
        seen = np.full(self.max_entities, -np.inf)
        seen[: len(self._times)] = self._times
        for i, (entity, time) in enumerate(zip(entities, times.tolist(), strict=True)):
            watermark = max(watermark, time)
            slot = names.get(entity, NOBODY)
            if slot == NOBODY and len(names) < self.max_entities:
                slot = names[entity] = len(names)
            elif slot == NOBODY and watermark - seen.min() > gap_s:
                owners = owners or {place: name for name, place in names.items()}
                slot = int(seen.argmin())
                del names[owners[slot]]
                owners[slot], names[entity], reused[i] = entity, slot, True
            if slot != NOBODY:
                seen[slot] = time
            slots[i] = slot
        return names, slots, reused

    @property
    def _known(self) -> Known:
        return Known(np.arange(len(self._times)), self._states, self._times, self._ages)

    def to_state(self) -> dict[str, Any]:
        """All state as JSON-able values; arrays compressed."""
        n = len(self._slots)
        arrays: dict[str, NDArray[Any]] = {
            "states": self._states[:n],
            "times": self._times[:n],
            "ages": self._ages[:n],
        }
        return {
            "model": self._model,
            "watermark": None if self._watermark == -np.inf else self._watermark,
            "overflowed": self.overflowed,
            "entities": sorted(self._slots, key=self._slots.__getitem__),
            "size": self._states.shape[1],
            **{name: base64.b64encode(zlib.compress(a.tobytes(), 1)).decode() for name, a in arrays.items()},
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], max_entities: int = 10_000) -> SequenceStates:
        """The inverse of `to_state`. Of more entities than now allowed those beyond are forgotten.

        Raises:
            StateError: the arrays do not fit the entities.
        """
        new = cls(max_entities)
        new._clear(str(state["model"]), int(state["size"]))
        new.overflowed = int(state["overflowed"])
        new._watermark = -np.inf if state["watermark"] is None else float(state["watermark"])
        names = [str(name) for name in state["entities"]]
        arrays = {name: zlib.decompress(base64.b64decode(state[name])) for name in ("states", "times", "ages")}
        states = np.frombuffer(arrays["states"], np.float32)
        times, ages = np.frombuffer(arrays["times"], np.float64), np.frombuffer(arrays["ages"], np.int64)
        if not len(names) == len(times) == len(ages) or len(states) != len(names) * int(state["size"]):
            raise StateError(
                f"sequence states of {len(names)} entities have {len(times)} times; delete the context"
            )
        kept = min(len(names), max_entities)
        new._slots = {name: slot for slot, name in enumerate(names[:kept])}
        new._states = states.reshape(len(names), int(state["size"]))[:kept].copy()
        new._times, new._ages = times[:kept].copy(), ages[:kept].copy()
        return new
