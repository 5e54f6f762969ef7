"""Records that could not be used: original bytes, position and reason."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from services.runtime.log import LogRecord, Outgoing

CONTENT_TYPE_BYTES = 200
KEPT_BYTES = 64 * 1024
"""Of a longer value the first so many bytes are kept, with the hash of the whole."""


class Refused(NamedTuple):
    """What goes to the dead letters: a message, or one row of a message that holds many.

    Attributes:
        record: the message.
        reason, detail: a stable code, and the rest for people.
        row: of the message; None: all of it.
        value: the row as a JSON object; None for a whole message.
    """

    record: LogRecord
    reason: str
    detail: str
    row: int | None = None
    value: bytes | None = None

    @property
    def position(self) -> str:
        """topic:partition:offset, and :row where it is one."""
        place = f"{self.record.topic}:{self.record.partition}:{self.record.offset}"
        return place if self.row is None else f"{place}:{self.row}"


def dead_letter(topic: str, node: str, refused: Refused) -> Outgoing:
    """The record for the topic `dead-letters`; keyed by position, so that a repeat has the same key.

    A null value becomes an empty one with the header ``sg_null``; a long one is cut and carries ``sg_sha256`` and
    ``sg_size``. One row of a message is a JSON object with the header ``sg_row``.
    """
    record = refused.record
    headers = [
        ("sg_position", f"{record.topic}:{record.partition}:{record.offset}".encode()),
        ("sg_reason", refused.reason.encode()),
        ("sg_detail", refused.detail[:500].encode("utf-8", "replace")),
        ("sg_node", node.encode()),
        ("sg_timestamp", str(record.timestamp).encode()),
    ]
    if refused.row is None:
        value = record.value
        # A header of a foreign message may be null or as large as the message.
        types = [said for name, said in record.headers if name == "content-type" and said]
        headers += [("content-type", said[:CONTENT_TYPE_BYTES]) for said in types[:1]]
    else:
        value = refused.value
        headers += [("sg_row", str(refused.row).encode()), ("content-type", b"application/json")]
    if value is None:
        headers.append(("sg_null", b"1"))
        value = b""
    if record.key is not None:
        headers.append(("sg_key", record.key[:1000]))
    if len(value) > KEPT_BYTES:
        headers += [
            ("sg_sha256", hashlib.sha256(value).hexdigest().encode()),
            ("sg_size", str(len(value)).encode()),
        ]
        value = bytes(value[:KEPT_BYTES])
    return Outgoing(topic, refused.position.encode(), value, tuple(headers))
