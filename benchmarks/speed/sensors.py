"""A made-up plant of 100 machines with 51 sensors each, one record a machine and second of event time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FIELDS = tuple(f"sensor_{i:02d}" for i in range(51))
MACHINES = 100
DISTINCT = 20_000
"""Rows drawn; longer streams repeat them with other times and machines."""
START_S = 1_750_000_000.0
_LATENT, _SHIFT = 8, 8.0


def write_profile(directory: Path) -> Path:
    """The profile of these records."""
    numeric = "".join(f'[[numeric]]\nfield = "{field}"\nmin = -100\nmax = 100\n' for field in FIELDS)
    path = directory / "sensors.toml"
    path.write_text(
        'name = "sensors"\ntitle = "Made-up plant, 51 sensors"\nmissing = "last:600"\nsampling_period_s = 1\n'
        f'[time]\nfield = "time"\nformat = "unix_s"\n[entity]\nfield = "machine"\n{numeric}'
    )
    return path


def draw(seed: int, abnormal: bool) -> NDArray[np.float64]:
    """(DISTINCT, 51): eight hidden causes and noise; abnormal rows have twelve sensors far off."""
    causes = np.random.default_rng(7).normal(size=(_LATENT, len(FIELDS)))
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(DISTINCT, _LATENT)) @ causes + 0.2 * rng.normal(size=(DISTINCT, len(FIELDS)))
    if abnormal:
        rows[:, :12] += _SHIFT * np.sign(rng.normal(size=(DISTINCT, 12)))
    return np.round(20 + 3 * rows, 4)


@dataclass(frozen=True)
class Stream:
    """Records of a stream, the same for the same arguments.

    Attributes:
        abnormal_share: of records that are far off, chosen at random.
        seed: of rows and choice.
        first: index of the first record, which decides its time and machine.
        bad: whether every hundredth record is one of `BAD`, in turn.
    """

    abnormal_share: float = 0.0
    seed: int = 0
    first: int = 0
    bad: bool = False

    def records(self, n: int) -> Iterator[tuple[bytes, bytes, bool]]:
        """(key, value, abnormal) of n records, about 1.1 kB each; all rows are drawn before the first one."""
        used = np.arange(self.first, self.first + min(n, DISTINCT)) % DISTINCT
        normal = _tails(draw(self.seed, abnormal=False)[used])
        off = _tails(draw(self.seed + 1, abnormal=True)[used]) if self.abnormal_share else normal
        chosen = (np.random.default_rng(self.seed).random(n) < self.abnormal_share).tolist()
        return self._generate(normal, off, chosen)

    def _generate(
        self, normal: list[bytes], off: list[bytes], chosen: list[bool]
    ) -> Iterator[tuple[bytes, bytes, bool]]:
        keys = [b"machine-%d" % k for k in range(MACHINES)]
        for k, abnormal in enumerate(chosen):
            i = self.first + k
            key = keys[i % MACHINES]
            tail = (off if abnormal else normal)[k % DISTINCT]
            value = b'{"time":%.2f,"machine":"%b",%b' % (START_S + i / MACHINES, key, tail)
            if self.bad and (spoil := bad_kind(i)) is not None:
                value = BAD[spoil](value)
            yield key, value, abnormal

    def messages(self, n: int, rows: int, partitions: int) -> Iterator[tuple[int, bytes, int]]:
        """(partition, Arrow stream, rows in it) of n records, by machine as in `records`."""
        values = draw(self.seed, abnormal=False)
        for start in range(0, n, rows * partitions):
            index = np.arange(start, min(n, start + rows * partitions)) + self.first
            for number in range(partitions):
                mine = index[index % MACHINES % partitions == number]
                if len(mine):
                    yield number, _arrow(mine, values[mine % DISTINCT]), len(mine)


def _arrow(index: NDArray[np.int64], values: NDArray[np.float64]) -> bytes:
    import pyarrow as pa

    names = pa.array([f"machine-{k}" for k in range(MACHINES)])
    columns = {
        "time": pa.array(START_S + index / MACHINES),
        "machine": pa.DictionaryArray.from_arrays(pa.array(index % MACHINES, pa.int32()), names),
        **{field: pa.array(values[:, j]) for j, field in enumerate(FIELDS)},
    }
    batch = pa.RecordBatch.from_pydict(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    stream: bytes = sink.getvalue().to_pybytes()
    return stream


BAD: dict[str, Callable[[bytes], bytes]] = {
    "malformed-json": lambda value: value[:-40],
    "wrong-type": lambda value: value.replace(b'"sensor_07": ', b'"sensor_07": "x", "was": '),
    "missing-time": lambda value: value.replace(b'"time"', b'"when"'),
    "missing-entity": lambda value: value.replace(b'"machine"', b'"what"'),
    "not-finite": lambda value: value.replace(b'"sensor_07": ', b'"sensor_07": 1e300, "was": '),
}
"""Reason that a node gives -> how a good record becomes such a bad one."""


def bad_kind(i: int) -> str | None:
    """The reason of record i where `Stream.bad` is set; None: it is good."""
    return list(BAD)[i // 100 % len(BAD)] if i % 100 == 99 else None


def _tails(rows: NDArray[np.float64]) -> list[bytes]:
    return [json.dumps(dict(zip(FIELDS, row, strict=True)))[1:].encode() for row in rows.tolist()]
