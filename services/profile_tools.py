"""`streamgauge profile infer|check`: propose a profile for unknown records; say what one makes of records."""

from __future__ import annotations

import csv
import gzip
import json
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from services.runtime.errors import ServiceError, TopicError
from services.runtime.kafka import open_consumer
from services.runtime.lifecycle import EXIT_CONFIGURATION
from services.runtime.log import Consumer
from services.runtime.settings import load_site
from streamgauge.errors import DataError, StreamgaugeError
from streamgauge.profiles.checking import check
from streamgauge.profiles.inferring import propose
from streamgauge.profiles.profile import load_profile, parse_profile

_WHOLE = re.compile(r"[+-]?(0|[1-9]\d{0,17})")
_NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)?(\.\d*)?([eE][+-]?\d+)?(?<=\d)")  # 007 is a name


@dataclass(frozen=True)
class Line:
    """A record of a file, whose name and age stand for key and timestamp; its offset counts from 1."""

    value: bytes | None
    offset: int
    key: bytes | None = None
    timestamp: int = -1


def from_file(path: Path, limit: int) -> list[Line]:
    """The first records of a file of JSON lines or of a CSV with a header, plain or gzip.

    Raises:
        DataError: it cannot be read, or holds nothing.
    """
    try:
        with path.open("rb") as raw, gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw as file:
            text = (line.decode("utf-8", "replace").removeprefix("\ufeff") for line in file)
            first = next(text, "")
            whole = chain([first], text)
            lines = _json_lines(whole) if first.lstrip().startswith("{") else _csv_lines(whole, first)
            found = list(islice(lines, limit))
        key, age = path.name.encode(), int(path.stat().st_mtime * 1000)
    except (OSError, EOFError, csv.Error) as error:
        raise DataError(f"file {path}: cannot be read: {error}") from error
    if not found:
        raise DataError(f"file {path}: no records; it holds JSON lines or a CSV with a header")
    return [replace(line, key=key, timestamp=age) for line in found]


def _json_lines(lines: Iterable[str]) -> Iterator[Line]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield Line(line.strip().encode(), number)


def _csv_lines(lines: Iterable[str], header: str) -> Iterator[Line]:
    delimiter = ";" if header.count(";") > header.count(",") else ","
    for number, row in enumerate(csv.DictReader(lines, delimiter=delimiter, skipinitialspace=True), 2):
        cells = {(name or "").strip(): _cell(value) for name, value in row.items() if isinstance(value, str)}
        yield Line(json.dumps(cells).encode(), number)


def _cell(text: str) -> Any:
    text = text.strip()
    if _WHOLE.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        return float(text)
    return text or None


def from_topic(consumer: Consumer, topic: str, limit: int) -> list[Any]:
    """The newest records of a topic, partition by partition.

    Raises:
        TopicError: it does not exist or holds nothing.
    """
    partitions = sorted(consumer.partitions(topic))
    if not partitions:
        raise TopicError(f"{topic!r} is no file, and no topic of the records cluster")
    each = -(-limit // len(partitions))
    ends = {p: consumer.end(p) for p in partitions}
    starts = {p: max(consumer.beginning(p), ends[p] - each) for p in partitions}
    left = {p for p in partitions if ends[p] > starts[p]}
    consumer.assign({p: starts[p] for p in left})
    found: list[Any] = []
    while left:
        for partition, batch in consumer.poll(0.2).records.items():
            found += [record for record in batch if record.offset < ends[partition]]
            if batch[-1].offset + 1 >= ends[partition]:
                left.discard(partition)
    if not found:
        raise TopicError(f"topic {topic!r} holds no records")
    return sorted(found, key=lambda record: (record.partition, record.offset))


def _records(source: str, limit: int, servers: str | None) -> Sequence[Any]:
    path = Path(source)
    if path.is_file():
        return from_file(path, limit)
    if path.is_dir() or "/" in source:
        raise DataError(f"{source}: is no file; give a file, or the name of a topic")
    consumer = open_consumer(load_site(servers).records, client_id="profile-tools", stop=threading.Event())
    try:
        return from_topic(consumer, source, limit)
    finally:
        consumer.close()


def infer(source: str, limit: int, servers: str | None, name: str | None) -> int:
    """Print a proposal; returns the exit code."""
    try:
        records = _records(source, limit, servers)
        parsed = [record for record in map(_object, records) if record is not None]
        if not parsed:
            raise DataError(f"{source}: none of {len(records)} records is a JSON object")
        text = propose(parsed, name or Path(source).name.partition(".")[0])
        parse_profile(text, "the proposal")
    except (ServiceError, StreamgaugeError) as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIGURATION
    print(text, end="")
    return 0


def _object(record: Any) -> dict[str, Any] | None:
    try:
        parsed = json.loads(bytes(record.value or b"").decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def check_source(profile: str, source: str, limit: int, servers: str | None) -> int:
    """Print what the profile makes of the records; 0 if all are accepted, 1 if not, 2 if it cannot be said."""
    try:
        loaded, records = load_profile(profile), _records(source, limit, servers)
        lines, good = check(loaded, records)
        if isinstance(records[0], Line) and (loaded.entity is None or loaded.time.field is None):
            lines.append("a file has no message keys and timestamps: its name and its age stand for them")
    except (ServiceError, StreamgaugeError) as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIGURATION
    print("\n".join(lines))
    return 0 if good else 1
