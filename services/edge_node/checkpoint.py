"""The checkpoint: all state of the node in one atomic file, so that a crash rolls everything back together."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.edge_node.bundle import Bundle
from services.edge_node.counts import Counts
from services.edge_node.jobs import prefixed, unprefixed
from services.edge_node.tasks import Answer
from services.runtime.atomic import replace_atomic
from services.runtime.log import Partition
from services.runtime.tensorfile import TensorFile, load_tensors
from streamgauge.errors import StateError

FORMAT = 2
"""Rises when the file's form changes; another one is refused."""
_REMEDY = "restore it from a backup, or remove it to learn afresh"


@dataclass
class Checkpoint:
    """What a restart needs.

    Attributes:
        identity: node, federation, detector, hashes of schema and layout; another identity is refused.
        contexts: state of each source partition's context.
        found: state of the topics that were there at the node's first start; None before it.
        sequence: number of the contexts written to the topic.
        counts: totals.
        bundle: in force, None before the first release.
        answers: updates and votes given, as they were or will be sent.
        learner: the learner's state: plain values and arrays.
        previous: weights that the last training ended with, None before the first.
    """

    identity: dict[str, str]
    contexts: dict[Partition, dict[str, Any]] = field(default_factory=dict)
    found: dict[str, Any] | None = None
    sequence: int = 0
    counts: Counts = field(default_factory=Counts)
    bundle: Bundle | None = None
    answers: list[Answer] = field(default_factory=list)
    learner: tuple[dict[str, Any], dict[str, NDArray[Any]]] | None = None
    previous: dict[str, NDArray[Any]] | None = None

    def save(self, path: Path) -> None:
        """Write atomically."""
        replace_atomic(path, self.file().write)

    def file(self) -> TensorFile:
        """The file as it is to be written; later changes of the node's state do not matter.

        Cost: JSON of the contexts; the arrays are not copied, so they must be the checkpoint's own.
        """
        arrays: dict[str, NDArray[Any]] = {
            f"answer/{i}": np.frombuffer(answer.body, np.uint8) for i, answer in enumerate(self.answers)
        }
        if self.bundle is not None:
            arrays |= prefixed("bundle", self.bundle.to_arrays())
        if self.learner is not None:
            arrays |= prefixed("learner", self.learner[1])
        arrays |= prefixed("previous", self.previous or {})
        return TensorFile.of(self._values(), arrays)

    def _values(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "identity": self.identity,
            "contexts": [[p.topic, p.partition, state] for p, state in self.contexts.items()],
            "found": self.found,
            "sequence": self.sequence,
            "counts": self.counts.to_state(),
            "bundle": asdict(self.bundle.info) if self.bundle else None,
            "answers": [[answer.kind, answer.asked_by] for answer in self.answers],
            "learner": self.learner[0] if self.learner else None,
        }

    @classmethod
    def load(cls, path: Path, identity: dict[str, str]) -> Checkpoint:
        """Read the file; an empty checkpoint if there is none.

        Raises:
            StateError: damaged, of another format, or of another node, detector or schema.
        """
        if not path.exists():
            return cls(identity)
        values, arrays = _read(path)
        if values.get("format") != FORMAT:
            raise StateError(
                f"{path} has format {values.get('format')}, this build reads {FORMAT}: use the version that wrote "
                "it, or choose another state_dir"
            )
        if values["identity"] != identity:
            changed = ", ".join(
                f"{name} was {values['identity'].get(name)!r} and is {value!r}"
                for name, value in identity.items()
                if values["identity"].get(name) != value
            )
            raise StateError(f"{path} belongs to another setup: {changed}; choose another state_dir or remove it")
        try:
            return cls._from_parts(identity, values, arrays)
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"{path} is damaged ({error!r}); {_REMEDY}") from error

    @classmethod
    def _from_parts(
        cls, identity: dict[str, str], values: dict[str, Any], arrays: dict[str, NDArray[Any]]
    ) -> Checkpoint:
        bundle = values["bundle"]
        answers = [
            Answer(kind, asked, arrays[f"answer/{i}"].tobytes())
            for i, (kind, asked) in enumerate(values["answers"])
        ]
        return cls(
            identity=identity,
            contexts={Partition(topic, number): state for topic, number, state in values["contexts"]},
            found=values.get("found"),  # a checkpoint of an older version has none
            sequence=values["sequence"],
            counts=Counts.from_state(values["counts"]),
            bundle=Bundle.from_parts(bundle, unprefixed("bundle", arrays)) if bundle else None,
            answers=answers,
            learner=(values["learner"], unprefixed("learner", arrays)) if values["learner"] else None,
            previous=unprefixed("previous", arrays) or None,
        )


def _read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    try:
        values, arrays = load_tensors(path.read_bytes())
    except (OSError, StateError) as error:
        raise StateError(f"{path} cannot be read ({error}); {_REMEDY}") from error
    if not isinstance(values, dict) or not isinstance(values.get("identity"), dict):
        raise StateError(f"{path} is not a checkpoint; {_REMEDY}")
    return values, arrays
