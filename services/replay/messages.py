"""Chunks as messages: JSON objects or Arrow streams of many records, the entity as key, the truth in a header."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.replay.chunks import Chunk
from services.replay.columnar import CONTENT_TYPE, arrow_batch, arrow_stream
from services.replay.options import ReplayOptions
from services.replay.split import stages_of
from streamgauge.profiles.loaders.records import json_records, record_columns
from streamgauge.profiles.loaders.table import UNLABELLED, Table
from streamgauge.profiles.profile import Profile

TRUTH_HEADER = "sg_truth"
"""Header with the truth of a labelled record; detectors never see it."""
Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class Messages:
    """n messages in the order of sending; element i of every field is of message i.

    Attributes:
        topics, keys, values, headers, partitions, stamps_ms: of the message.
        sites: (n,) int64.
        due: (n,) float64, never falling: event time at which it is sent.
        rows: (n,) int64, number of its (first) row.
        counts: (n,) int64, records in it.
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
        # Keys and truths are few; a cache of them costs less than to make them again.
        self._partitions = partitions
        self._hash: Callable[[bytes], int] = lru_cache(1 << 16)(zlib.crc32)
        self._key: Callable[[str], bytes] = lru_cache(1 << 16)(str.encode)

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
        n, table = len(chunk), chunk.table
        stated = None if self._profile.time.field is None else chunk.times
        values = json_records(table, self._profile, labels=self._options.send_labels, times=stated, only=only)
        keys = self._keys(table, sites)
        return Messages(
            [self._topics[site] for site in sites.tolist()],
            keys,
            values,
            [_truth(kind) for kind in table.attack_types.tolist()],
            self._partitions_of(keys, sites),
            _stamps(chunk).tolist(),
            sites,
            chunk.due,
            chunk.first_row + np.arange(n),
            np.ones(n, np.int64),
            (table.labels == 1).astype(np.int64),
            chunk.phase,
        )

    def _keys(self, table: Table, sites: NDArray[np.int64]) -> list[bytes]:
        """The entity, or the site where there is none."""
        of = self._key
        return [
            of(entity) if entity else of(self._names[site])
            for entity, site in zip(table.entities.tolist(), sites.tolist(), strict=True)
        ]

    def _partitions_of(self, keys: list[bytes], sites: NDArray[np.int64]) -> list[int]:
        of, counts = self._hash, self._partitions
        return [of(key) % counts[site] for key, site in zip(keys, sites.tolist(), strict=True)]

    def _columnar(self, chunk: Chunk, sites: NDArray[np.int64], only: frozenset[str] | None) -> Messages:
        """Up to so many rows a message: of one entity where the key names it, else of one partition."""
        table, stamps = chunk.table, _stamps(chunk)
        keys = self._keys(table, sites)
        partitions = self._partitions_of(keys, sites)
        by_key = self._profile.entity is None
        groups: dict[tuple[int, bytes | int], list[int]] = {}
        for row, site in enumerate(sites.tolist()):
            groups.setdefault((site, keys[row] if by_key else partitions[row]), []).append(row)
        stated = None if self._profile.time.field is None else chunk.times
        columns = record_columns(table, self._profile, labels=self._options.send_labels, times=stated, only=only)
        batch = arrow_batch(columns, table, self._profile)
        size = self._options.columnar
        cuts = [np.array(rows[i : i + size]) for rows in groups.values() for i in range(0, len(rows), size)]
        last = np.array([cut[-1] for cut in cuts])
        abnormal = table.labels == 1
        made = Messages(
            [self._topics[sites[cut[0]]] for cut in cuts],
            [keys[cut[0]] for cut in cuts],
            [arrow_stream(batch, cut) for cut in cuts],
            [(CONTENT_TYPE,)] * len(cuts),
            [partitions[cut[0]] for cut in cuts],
            [int(stamps[cut[-1]]) for cut in cuts],
            sites[last],
            chunk.due[last],
            chunk.first_row + np.array([cut[0] for cut in cuts]),
            np.array([len(cut) for cut in cuts]),
            np.array([int(abnormal[cut].sum()) for cut in cuts]),
            chunk.phase,
        )
        return made.take(np.argsort(last, kind="stable"))


def _stamps(chunk: Chunk) -> NDArray[np.int64]:
    """The messages' own timestamps: the event time; where it is broken, that of the record before."""
    times = np.where(np.isnan(chunk.times), chunk.due, chunk.times)
    return (np.where(np.isfinite(times), np.maximum(times, 0.0), 0.0) * 1000).astype(np.int64)


@lru_cache(maxsize=1024)
def _truth(kind: str) -> Headers:
    if kind == UNLABELLED:
        return ()
    return ((TRUTH_HEADER, json.dumps({"label": kind, "attack": kind != "normal"}).encode()),)
