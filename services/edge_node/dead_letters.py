"""Records that could not be used: original bytes, position and reason."""

from __future__ import annotations

import hashlib

from services.runtime.log import LogRecord, Outgoing

KEPT_BYTES = 64 * 1024
"""Of a longer value the first so many bytes are kept, with the hash of the whole."""


def dead_letter(topic: str, node: str, record: LogRecord, reason: str, detail: str) -> Outgoing:
    """The record for the topic `dead-letters`; keyed by position, so that a repeat has the same key.

    A null value becomes an empty one with the header ``sg_null``; a long one is cut and carries ``sg_sha256`` and
    ``sg_size``.
    """
    position = f"{record.topic}:{record.partition}:{record.offset}"
    headers = [
        ("sg_position", position.encode()),
        ("sg_reason", reason.encode()),
        ("sg_detail", detail[:500].encode("utf-8", "replace")),
        ("sg_node", node.encode()),
    ]
    value = record.value
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
    return Outgoing(topic, position.encode(), value, tuple(headers))
