"""Dead letters as they lie in their topic: each record once, with what was done about it (ADR 045)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from services.runtime.errors import TopicError
from services.runtime.log import Consumer, LogRecord, Partition

REMEDIES = {
    "malformed-json": "the source sends something else than one JSON object a message",
    "wrong-encoding": "the source must send UTF-8",
    "wrong-type": "correct the source, or the type of the field in the profile",
    "null-value": "a deletion marker: is this topic meant to be read?",
    "too-large": "send less in a message",
    "not-finite": "a number beyond 32-bit floats: correct the source",
    "missing-time": "compare [time] of the profile with the record",
    "bad-time": "compare [time] of the profile with the record, and the source's clock",
    "missing-entity": "compare [entity] of the profile with the record or its key",
    "bad-entity": "the entity is empty, too long or holds a NUL",
    "missing-tag": "the message does not say which tag it is of",
    "missing-field": "give the field a rule last, constant or mask, if it may be missing",
    "too-many-missing": "raise max_missing_share, or drop fields that are not sent",
    "malformed-arrow": "the source's Arrow stream is damaged, or no Arrow stream",
    "missing-column": "the Arrow stream lacks a column of a rule reject: compare profile and stream",
    "crashed": "the record crashed the scorer: report it; sent again only if asked for by its reason",
}


@dataclass(frozen=True)
class Letter:
    """A record that was set aside; fits `Decoder` as a source record.

    Attributes:
        place: of the message: topic, partition, offset.
        row: of the message that was set aside, as a JSON object; None: all of it.
        reason, detail, node: why, for people, and who says so.
        key, value: of the record; None as it was.
        timestamp: of the record in ms, -1 if the letter does not say.
        at: when it was set aside first, in ms.
        cut: only the beginning of the value or key is here.
        columnar: it is an Arrow stream.
        copies: letters of this record, at least 1.
        begun: where its source partition ended when sending it again began; None: it was not.
        replayed: position of the copy that was sent again; None if none was, as far as the marks say.
    """

    place: str
    row: int | None
    reason: str
    detail: str
    node: str
    key: bytes | None
    value: bytes | None
    timestamp: int
    at: int
    cut: bool
    columnar: bool = False
    copies: int = 1
    begun: int | None = None
    replayed: str | None = None

    @property
    def position(self) -> str:
        """Names the record: its place, and ``:row`` where it is one of many."""
        return self.place if self.row is None else f"{self.place}:{self.row}"

    @property
    def source(self) -> Partition:
        """Where the record lay."""
        topic, number, _ = self.place.rsplit(":", 2)
        return Partition(topic, int(number))

    @property
    def offset(self) -> int:
        """Its offset there."""
        return int(self.place.rpartition(":")[2])

    @property
    def digest(self) -> str:
        """Tells records apart that lay at one position in turn, because their topic was made again."""
        return hashlib.sha256(b"\0" if self.value is None else self.value).hexdigest()[:16]


def read_letters(consumer: Consumer, topic: str, hold: Callable[[], None] = lambda: None) -> list[Letter]:
    """All letters, each record once, in the order in which they were first set aside.

    Args:
        consumer: of the records cluster.
        topic: of the dead letters.
        hold: called with each record read.
    Raises:
        TopicError: there is no such topic.
    """
    letters: dict[tuple[str, str], Letter] = {}
    marks: list[tuple[str, str, dict[str, bytes]]] = []
    for record in between(consumer, {p: consumer.beginning(p) for p in partitions_of(consumer, topic)}):
        hold()
        headers = dict(record.headers)
        if (digest := headers.get("sg_replay_digest")) is not None:
            marks.append((headers["sg_position"].decode(), digest.decode(), headers))
        elif (letter := _letter(record, headers)) is not None:
            known = letters.get((letter.position, letter.digest), replace(letter, copies=0))
            letters[letter.position, letter.digest] = replace(letter, copies=known.copies + 1, at=known.at)
    for position, value_digest, headers in marks:  # a mark may lie in another partition than its letter
        if (marked := letters.get((position, value_digest))) is not None:
            letters[marked.position, marked.digest] = _marked(marked, headers)
    return sorted(letters.values(), key=lambda letter: letter.at)


def _letter(record: LogRecord, headers: dict[str, bytes]) -> Letter | None:
    text = {name: value.decode("utf-8", "replace") for name, value in headers.items()}
    if not re.fullmatch(r".+:\d+:\d+", text.get("sg_position", "")):
        return None
    key = headers.get("sg_key")
    return Letter(
        text["sg_position"],
        int(text["sg_row"]) if "sg_row" in text else None,
        text.get("sg_reason", ""),
        text.get("sg_detail", ""),
        text.get("sg_node", ""),
        key,
        None if "sg_null" in headers else record.value or b"",
        int(text.get("sg_timestamp", "-1")),
        record.timestamp,
        "sg_sha256" in headers or (key is not None and len(key) >= 1000),
        "arrow" in text.get("content-type", ""),
    )


def _marked(letter: Letter, headers: dict[str, bytes]) -> Letter:
    if (sent := headers.get("sg_replayed_as")) is not None:
        return replace(letter, replayed=sent.decode())
    begun = int(headers["sg_replay_from"])
    return replace(letter, begun=begun if letter.begun is None else min(begun, letter.begun))


def partitions_of(consumer: Consumer, topic: str) -> frozenset[Partition]:
    """Of the topic of the dead letters.

    Raises:
        TopicError: there is no such topic.
    """
    if partitions := consumer.partitions(topic):
        return partitions
    raise TopicError(f"topic {topic!r} does not exist on the records cluster; is topic_prefix right?")


def between(consumer: Consumer, starts: dict[Partition, int]) -> Iterable[LogRecord]:
    """Everything from these offsets to the ends as they are now."""
    ends = {p: consumer.end(p) for p in starts}
    left = {p for p, start in starts.items() if ends[p] > start}
    consumer.assign({p: starts[p] for p in left})
    while left:
        for partition, batch in consumer.poll(0.2).records.items():
            yield from (record for record in batch if record.offset < ends[partition])
            if batch[-1].offset + 1 >= ends[partition]:
                left.discard(partition)
