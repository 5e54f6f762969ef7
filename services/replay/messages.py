"""Chunks as messages: JSON objects or Arrow streams of many records, the entity as key, the truth in a header."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from services.replay.chunks import Chunk
from services.replay.columnar import ARROW, arrow_stream
from services.replay.options import ReplayOptions
from services.replay.split import stages_of
from services.runtime.log import TRUTH_HEADER
from services.runtime.partitions import partition_of
from streamgauge.profiles.loaders.long_files import tag_records
from streamgauge.profiles.loaders.records import json_records, record_batch
from streamgauge.profiles.loaders.table import UNLABELLED, Table, distinct
from streamgauge.profiles.profile import Profile

_T = TypeVar("_T")
Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class Messages:
    """n messages in the order of sending; element i of every field is of message i.

    Attributes:
        topics, keys, values, headers, partitions, stamps_ms: of the message.
        sites: (n,) int64.
        due: (n,) float64, never falling: event time at which it is sent.
        rows: (n,) int64, number of its (first) row.
        counts: (n,) int64, records in it; of one tag a message 1 for the first of a record, else 0.
        attacks: (n,) int64, abnormal ones among them.
        phase: for the progress.
    """

    topics: list[str]
    keys: list[bytes]
    values: list[bytes]
    headers: list[Headers]
    partitions: list[int]
    stamps_ms: list[int]
    sites: NDArray[np.int64]
    due: NDArray[np.float64]
    rows: NDArray[np.int64]
    counts: NDArray[np.int64]
    attacks: NDArray[np.int64]
    phase: str

    def __len__(self) -> int:
        return len(self.values)

    def take(self, order: NDArray[np.int64], *, values: Sequence[bytes] | None = None) -> Messages:
        """The messages of an index, with other values if given."""
        where = order.tolist()

        def of(column: Sequence[Any]) -> list[Any]:
            return [column[i] for i in where]

        return Messages(
            of(self.topics),
            of(self.keys),
            of(self.values) if values is None else list(values),
            of(self.headers),
            of(self.partitions),
            of(self.stamps_ms),
            self.sites[order],
            self.due[order],
            self.rows[order],
            self.counts[order],
            self.attacks[order],
            self.phase,
        )


def joined(first: Messages, second: Messages) -> Messages:
    """The messages of two, one after the other."""

    def both(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(first, name), getattr(second, name)])

    return Messages(
        first.topics + second.topics,
        first.keys + second.keys,
        first.values + second.values,
        first.headers + second.headers,
        first.partitions + second.partitions,
        first.stamps_ms + second.stamps_ms,
        both("sites"),
        both("due"),
        both("rows"),
        both("counts"),
        both("attacks"),
        second.phase,
    )


class Composer:
    """Makes messages of chunks.

    Args:
        options: sites, topics, columnar or not, labels or not.
        profile: names the fields.
        partitions: of each site's topic; a key always goes to the same one.

    Raises:
        ConfigurationError: the split by stages does not fit the profile.
    """

    def __init__(self, options: ReplayOptions, profile: Profile, partitions: Sequence[int]) -> None:
        self._options, self._profile = options, profile
        by_stage = options.split is not None and options.split.kind == "stage"
        self._stages = stages_of(profile, len(options.sites)) if by_stage else []
        self._topics = [options.topic_of(site) for site in options.sites]
        self._names = [site.name for site in options.sites]
        self._partitions = partitions

    def messages(self, chunk: Chunk) -> Messages:
        """The chunk's messages in the order of their rows."""
        if chunk.sites is not None:
            return self._compose(chunk, chunk.sites, None)
        parts = [
            self._compose(chunk, np.full(len(chunk), site), fields) for site, fields in enumerate(self._stages)
        ]
        every = parts[0]
        for part in parts[1:]:
            every = joined(every, part)
        return every.take(np.argsort(every.rows, kind="stable"))

    def _compose(self, chunk: Chunk, sites: NDArray[np.int64], only: frozenset[str] | None) -> Messages:
        if self._options.columnar:
            return self._columnar(chunk, sites, only)
        table, routes = chunk.table, self._routes(chunk.table, sites)
        values, rows = self._values(chunk, only)
        kinds, kind = distinct(table.attack_types)
        of = routes.of[rows]
        # Of one tag a message a row is one record still: it is counted once.
        begins = (np.diff(rows, prepend=-1) != 0).astype(np.int64)
        return Messages(
            _picked([self._topics[site] for site in routes.sites], of),
            _picked(routes.keys, of),
            values,
            _picked([_truth(kind) for kind in kinds], kind[rows]),
            _picked(routes.partitions, of),
            _stamps(chunk)[rows].tolist(),
            sites[rows],
            chunk.due[rows],
            chunk.first_row + rows,
            begins,
            begins * (table.labels[rows] == 1),
            chunk.phase,
        )

    def _values(self, chunk: Chunk, only: frozenset[str] | None) -> tuple[list[bytes], NDArray[np.int64]]:
        """The messages, and the row of each."""
        stated, labels = self._stated(chunk), self._options.send_labels
        if self._profile.long is not None:
            return tag_records(chunk.table, self._profile, labels=labels, times=stated, only=only)
        values = json_records(chunk.table, self._profile, labels=labels, times=stated, only=only)
        return values, np.arange(len(chunk))

    def _stated(self, chunk: Chunk) -> NDArray[np.float64] | None:
        return None if self._profile.time.field is None else chunk.times

    def _routes(self, table: Table, sites: NDArray[np.int64]) -> _Routes:
        """Keys are few: each is made and hashed once. It is the entity, or the site where there is none."""
        entities, entity = distinct(table.entities)
        pairs, of = np.unique(entity * len(self._names) + sites, return_inverse=True)
        found = [divmod(pair, len(self._names)) for pair in pairs.tolist()]
        keys = [(entities[each] or self._names[site]).encode() for each, site in found]
        partitions = [
            partition_of(key, self._partitions[site]) for key, (_, site) in zip(keys, found, strict=True)
        ]
        return _Routes(keys, [site for _, site in found], partitions, of)

    def _columnar(self, chunk: Chunk, sites: NDArray[np.int64], only: frozenset[str] | None) -> Messages:
        """Up to so many rows a message: of one entity where the key names it, else of one partition."""
        import pyarrow as pa

        table, stamps, routes = chunk.table, _stamps(chunk), self._routes(chunk.table, sites)
        wide = max(self._partitions)
        if self._profile.entity is None:
            group = routes.of
        else:
            places = np.array(routes.sites, np.int64) * wide + np.array(routes.partitions, np.int64)
            group = places[routes.of]
        order = np.argsort(group, kind="stable")
        batch = record_batch(
            table, self._profile, labels=self._options.send_labels, times=self._stated(chunk), only=only
        ).take(pa.array(order))
        cuts = _cuts(group[order], self._options.columnar)
        low, high = cuts[:-1], cuts[1:]
        first, last = order[low], order[high - 1]
        abnormal = np.concatenate([[0], np.cumsum(table.labels[order] == 1)])
        made = Messages(
            [self._topics[site] for site in sites[last].tolist()],
            _picked(routes.keys, routes.of[first]),
            [arrow_stream(batch.slice(a, b - a)) for a, b in zip(low.tolist(), high.tolist(), strict=True)],
            [(ARROW,)] * len(low),
            _picked(routes.partitions, routes.of[first]),
            stamps[last].tolist(),
            sites[last],
            chunk.due[last],
            chunk.first_row + first,
            high - low,
            abnormal[high] - abnormal[low],
            chunk.phase,
        )
        return made.take(np.argsort(last, kind="stable"))


@dataclass(frozen=True)
class _Routes:
    """Where rows go: element `of[i]` of each list is that of row i."""

    keys: list[bytes]
    sites: list[int]
    partitions: list[int]
    of: NDArray[np.int64]


def _picked(values: list[_T], where: NDArray[np.int64]) -> list[_T]:
    return [values[i] for i in where.tolist()]


def _cuts(group: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Edges of stretches of one group, of at most so many rows; groups are sorted."""
    edges = np.concatenate([[0], np.flatnonzero(np.diff(group)) + 1, [len(group)]])
    pieces = [np.arange(a, b, size) for a, b in pairwise(edges.tolist())]
    return np.concatenate([*pieces, edges[-1:]])


def _stamps(chunk: Chunk) -> NDArray[np.int64]:
    """The messages' own timestamps: the event time; where it is broken, that of the record before."""
    times = np.where(np.isnan(chunk.times), chunk.due, chunk.times)
    return (np.where(np.isfinite(times), np.maximum(times, 0.0), 0.0) * 1000).astype(np.int64)


@lru_cache(maxsize=1024)
def _truth(kind: str) -> Headers:
    if kind == UNLABELLED:
        return ()
    return ((TRUTH_HEADER, json.dumps({"label": kind, "attack": kind != "normal"}).encode()),)
