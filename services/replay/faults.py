"""Faults on demand: what networks and sensors do to a stream, the same for the same seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.replay.chunks import Chunk
from services.replay.messages import Messages, joined
from services.replay.options import Fault, wrong
from services.replay.split import lots_of
from streamgauge.profiles.profile import Profile


@dataclass
class _Stuck:
    """A sensor that shows one value from a row on until a time."""

    entity: str
    row: int
    field: str
    value: float
    until: float


class Faults:
    """Does to chunks and messages what the options ask for; a row's lot depends on seed and row number only.

    Args:
        faults: of the options.
        seed: of the lots.
        profile: names the sensors that can be stuck.

    Raises:
        ConfigurationError: a stuck field is no number of the profile.
    """

    def __init__(self, faults: Sequence[Fault], seed: int, profile: Profile) -> None:
        numeric = [field.field for field in profile.numeric]
        for fault in faults:
            if fault.kind == "stuck" and fault.field not in numeric:
                raise wrong(
                    "--fault", f"stuck:{fault.field}", f"a numeric field of {profile.name}, e.g. {numeric[0]}"
                )
        self._faults, self._seed = faults, seed
        self._stuck: list[_Stuck] = []
        self._held: Messages | None = None
        self.counts: Counter[str] = Counter()
        """Records hit so far, by kind; of stuck sensors those that show another value than their own."""

    @property
    def held_row(self) -> int | None:
        """Lowest row that is held back."""
        return int(self._held.rows.min()) if self._held is not None and len(self._held) else None

    def on_chunk(self, chunk: Chunk) -> Chunk:
        """The chunk with stuck sensors; the given one is not changed."""
        stuck = [fault for fault in self._faults if fault.kind == "stuck"]
        if not stuck:
            return chunk
        columns = dict(chunk.table.columns)
        entities = chunk.table.entities
        for fault in stuck:
            columns[fault.field] = columns[fault.field].copy()
            for row in np.flatnonzero(self._hit(fault, chunk.first_row, len(chunk))).tolist():
                value, until = float(columns[fault.field][row]), float(chunk.due[row]) + fault.seconds
                self._stuck.append(_Stuck(entities[row], chunk.first_row + row, fault.field, value, until))
        numbers = chunk.first_row + np.arange(len(chunk))
        for each in self._stuck:
            rows = (entities == each.entity) & (numbers >= each.row) & (chunk.due <= each.until)
            columns[each.field][rows] = each.value
        # Once each, however many of them show on it.
        changed = [_differ(columns[field], chunk.table.columns[field]) for field in {f.field for f in stuck}]
        self.counts["stuck"] += int(np.any(changed, axis=0).sum())
        self._stuck = [each for each in self._stuck if each.until > chunk.due[-1]]
        return replace(chunk, table=replace(chunk.table, columns=columns))

    def on_messages(self, messages: Messages) -> Messages:
        """Messages lost, doubled, damaged and held back; what was held back and is due now is among them."""
        if not any(fault.kind != "stuck" for fault in self._faults):
            return messages
        until = float(messages.due[-1]) if len(messages) else -np.inf
        for fault in self._faults:
            if fault.kind != "stuck" and len(messages):
                messages = self._one(fault, messages)
        waiting = messages if self._held is None else joined(self._held, messages)
        order = np.argsort(waiting.due, kind="stable")
        now = waiting.due[order] <= until
        self._held = waiting.take(order[~now])
        return waiting.take(order[now])

    def rest(self) -> Messages | None:
        """What is held back at the end."""
        held, self._held = self._held, None
        return held

    def _one(self, fault: Fault, messages: Messages) -> Messages:
        first = int(messages.rows.min())
        lots = self._hit(fault, first, int(messages.rows.max()) - first + 1)
        hit = lots[messages.rows - first]
        self.counts[fault.kind] += int(messages.counts[hit].sum())
        if fault.kind == "drop":
            return messages.take(np.flatnonzero(~hit))
        if fault.kind == "duplicate":
            return messages.take(np.repeat(np.arange(len(messages)), 1 + hit))
        if fault.kind == "corrupt":
            return replace(messages, values=self._corrupted(messages, hit))
        delay = np.full(len(messages), fault.seconds)
        if fault.kind == "reorder":
            delay *= lots_of(self._seed, "reorder by", first, len(lots))[messages.rows - first]
        return replace(messages, due=messages.due + np.where(hit, delay, 0.0))

    def _corrupted(self, messages: Messages, hit: NDArray[np.bool_]) -> list[bytes]:
        """Cut off somewhere: never a whole JSON object or Arrow stream."""
        values = list(messages.values)
        for i in np.flatnonzero(hit).tolist():
            share = lots_of(self._seed, "corrupt at", int(messages.rows[i]), 1)[0]
            values[i] = values[i][: int(share * len(values[i]))]
        return values

    def _hit(self, fault: Fault, first_row: int, n: int) -> NDArray[np.bool_]:
        return lots_of(self._seed, f"{fault.kind} {fault.field}", first_row, n) < fault.share


def _differ(shown: NDArray[Any], own: NDArray[Any]) -> NDArray[np.bool_]:
    """(n,) where two columns of numbers differ; two missing values do not."""
    return np.asarray((shown != own) & ~(np.isnan(shown) & np.isnan(own)))
