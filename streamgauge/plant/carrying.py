"""A plant's state as bytes, so that a stream goes on where it stood, with the record that would have come."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from streamgauge.errors import StateError
from streamgauge.plant.plant import Plant, PlantState

FORMAT = 1


@dataclass(frozen=True, slots=True)
class _Carried:
    format: int
    seed: int
    start_s: float
    state: PlantState


def carry(plant: Plant) -> bytes:
    """Where a plant stands, as JSON of about 2 MB: it remembers the last quarter of an hour."""
    return msgspec.json.encode(_Carried(FORMAT, plant.seed, plant.start_s, plant.state))


def carried(data: bytes) -> Plant:
    """The plant that `carry` wrote.

    Raises:
        StateError: it is no such state, or one of another format.
    """
    try:
        found = msgspec.json.decode(data, type=_Carried)
    except (msgspec.DecodeError, ValueError) as error:
        raise StateError(f"no state of a plant: {error}; delete it to begin anew") from None
    if found.format != FORMAT:
        raise StateError(f"state of a plant in format {found.format}, known is {FORMAT}; delete it to begin anew")
    return Plant(found.seed, found.start_s, state=found.state)
