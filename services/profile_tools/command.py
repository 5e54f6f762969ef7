"""The commands `infer` and `check`: propose a profile for unknown records; say what one makes of records."""

from __future__ import annotations

import json
import math
import sys
import threading
from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from services.profile_tools.files import FileRecords, Line, from_file
from services.runtime.errors import TopicError
from services.runtime.kafka import open_consumer
from services.runtime.lifecycle import EXIT_FOUND, run_command
from services.runtime.log import Consumer
from services.runtime.settings import load_site
from streamgauge.errors import ConfigurationError, DataError, InvalidRecordError, UnknownNameError
from streamgauge.profiles.arrow_reader import read_stream
from streamgauge.profiles.arrow_rows import rows_as_json
from streamgauge.profiles.checking import check, place
from streamgauge.profiles.checking_columnar import check_messages
from streamgauge.profiles.columnar import CONTENT_TYPE, MAX_MESSAGE_BYTES, MAX_ROWS
from streamgauge.profiles.inferring import propose
from streamgauge.profiles.profile import load_profile, parse_profile

_ENDINGS = (".csv", ".txt", ".json", ".jsonl", ".ndjson", ".log", ".gz", ".xz", ".zip", ".tar", ".parquet")
"""Of names that are files' even where there is no such file."""


def from_topic(consumer: Consumer, topic: str, limit: int) -> list[Any]:
    """The newest records of a topic, partition by partition.

    Raises:
        TopicError: it does not exist.
        DataError: it holds nothing.
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
        raise DataError(f"topic {topic!r} holds no records")
    return sorted(found, key=lambda record: (record.partition, record.offset))


def _records(
    source: str, limit: int, servers: str | None, numeric: Collection[str] | None = None
) -> Sequence[Any]:
    if Path(source).exists() or any(c in source for c in "/*?[") or source.lower().endswith(_ENDINGS):
        found: FileRecords = from_file(source, limit, numeric)
        for note in found.notes:
            print(f"note: {note}", file=sys.stderr)
        return found.records
    with closing(
        open_consumer(load_site(servers).records, client_id="profile-tools", stop=threading.Event())
    ) as c:
        return from_topic(c, source, limit)


def infer(source: str, limit: int, servers: str | None, name: str | None) -> int:
    """Print a proposal, and a line about it on stderr; returns the exit code."""
    return run_command(lambda: _infer(source, limit, servers, name))


def _infer(source: str, limit: int, servers: str | None, name: str | None) -> int:
    records = _records(source, limit, servers)
    placed = [(value, place(record)) for record in records for value in _objects_in(record)][:limit]
    values = [value for value, _ in placed]
    found = [(each, at) for value, at in placed if (each := _object(value)) is not None]
    parsed = [each for each, _ in found]
    if not parsed:
        shown = (values[0] if values else b"")[:60]
        raise DataError(f"{source}: none of {len(records)} records is a JSON object; the first is {shown!r}")
    own = Path(source).name.partition(".")[0] if isinstance(records[0], Line) else source
    made = propose(parsed, name or own or "records", [at for _, at in found])
    parse_profile(made.text, "the proposal")
    print(made.text, end="")
    if len(parsed) < len(values):
        print(f"note: {len(values) - len(parsed)} of {len(values)} records are no JSON objects", file=sys.stderr)
    if len(values) == limit:
        which = "first" if isinstance(records[0], Line) else "newest"
        print(f"note: only the {which} {limit} records were looked at; --limit takes more", file=sys.stderr)
    print(f"{made.summary}; edit what is marked `check`", file=sys.stderr)
    return 0


def _is_arrow(record: Any) -> bool:
    """Whether a message of a topic says that it is an Arrow stream."""
    return ("content-type", CONTENT_TYPE) in getattr(record, "headers", ())


def _objects_in(record: Any) -> Sequence[bytes]:
    """A record's value, or the rows of an Arrow stream as JSON objects; none of one that cannot be read."""
    if not _is_arrow(record):
        return [bytes(record.value or b"")]
    try:
        batch = read_stream(record.value, MAX_MESSAGE_BYTES, MAX_ROWS)
    except InvalidRecordError:
        return []
    return rows_as_json(batch, list(range(batch.num_rows)))


def _object(value: bytes) -> dict[str, Any] | None:
    try:
        parsed = json.loads(value.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def check_source(profile: str, source: str, limit: int, servers: str | None) -> int:
    """Print what the profile makes of the records; the exit code: 1 if one is rejected or the profile is wrong."""
    return run_command(lambda: _check(profile, source, limit, servers))


def _check(profile: str, source: str, limit: int, servers: str | None) -> int:
    try:
        loaded = load_profile(profile)
    except UnknownNameError:
        raise
    except ConfigurationError as error:  # mistakes of the profile are what is looked for
        print(error, file=sys.stderr)
        return EXIT_FOUND
    numeric = [loaded.long.value] if loaded.long else [f.field for f in loaded.numeric]
    records = _records(source, limit, servers, numeric)
    max_ahead_s = math.inf if isinstance(records[0], Line) else load_site(servers).max_ahead_s
    messages = [record for record in records if _is_arrow(record)]
    single = [record for record in records if not _is_arrow(record)]
    lines, good = check(loaded, single, max_ahead_s) if single else ([], True)
    if messages:
        more, all_good = check_messages(loaded, messages, max_ahead_s)
        lines, good = [*lines, *more], good and all_good
    if isinstance(records[0], Line) and (loaded.entity is None or loaded.time.field is None):
        lines.append("a file has no message keys and timestamps: its name and its age stand for them")
    print("\n".join(lines))
    return 0 if good else EXIT_FOUND
