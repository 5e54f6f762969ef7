"""Envelopes: CloudEvents 1.0 in Kafka's binary mode, signed on the shared cluster.

Headers: ``ce_specversion``, ``ce_id``, ``ce_type`` (``<TYPE>.v<major>``), ``ce_source``, ``ce_time``,
``content-type``, and our own ``sg_sender``, ``sg_incarnation`` (start of the process, ms), ``sg_sequence``,
``sg_fence``, and with a key ``sg_signature`` (Ed25519 over `signing.canonical_bytes` of all but itself).

Reasons of `EnvelopeError`: ``not-ours``, ``duplicate-header``, ``null-value``, ``bad-header``, ``unsigned``,
``unknown-key``, ``bad-signature``, ``wrong-type``, ``bad-message``, ``unsupported-version``.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from pydantic import ValidationError

from schemas import Message, UnsupportedVersionError
from services.runtime.errors import EnvelopeError
from services.runtime.log import LogRecord, Outgoing
from services.runtime.signing import SigningKey, VerifyKey, canonical_bytes

JSON = b"application/json"
SAFETENSORS = b"application/vnd.safetensors"
TOMBSTONE_TYPE = "streamgauge.tombstone"
_TYPE = re.compile(r"(?P<type>streamgauge\.[a-z-]+)\.v(?P<major>\d{1,6})")
_LARGEST = 2**63 - 1
"""What a database's column of 64 bits holds."""

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Opened:
    """A record whose envelope was read and, where asked for, whose signature is right.

    Attributes:
        type: the message's TYPE, e.g. ``streamgauge.round-plan``, without its version.
        sender: name of the node or aggregator that sealed it.
        incarnation: start time of the sender's process in ms.
        sequence: rises with each message of that process.
        fence: number of the aggregator's lease, 0 while there is only one.
        value: the bytes, JSON or safetensors.
        version: major version in the type.
    """

    type: str
    sender: str
    incarnation: int
    sequence: int
    fence: int
    value: bytes
    version: int = 1


class Sealer:
    """Puts messages into envelopes; one for each process. Safe to share between threads.

    Args:
        source: name of the sender.
        incarnation: start time of this process in ms.
        key: signs; None on a site's own cluster, where nothing is signed.
        fence: number of the aggregator's lease.
    """

    def __init__(self, source: str, incarnation: int, key: SigningKey | None, fence: int = 0) -> None:
        self._source = source
        self._incarnation = incarnation
        self._key = key
        self._fence = fence
        self._sequence = itertools.count(1)

    def seal(
        self, message: Message, topic: str, key: bytes, body: bytes | None = None, partition: int | None = None
    ) -> Outgoing:
        """The record to send.

        Args:
            message: its type goes into the headers; its JSON is the value unless `body` is given.
            topic: where it will be sent; part of what is signed.
            key: the record's key.
            body: a safetensors file that carries the message in its metadata (`codecs.pack`).
            partition: a fixed partition; else the producer chooses by key.
        """
        content = JSON if body is None else SAFETENSORS
        value = message.to_json() if body is None else body
        return self._outgoing(
            f"{message.TYPE}.v{message.VERSION}", content, Outgoing(topic, key, value, (), partition)
        )

    def tombstone(self, topic: str, key: bytes) -> Outgoing:
        """A signed record with a null value, which compaction takes as deletion of `key`."""
        return self._outgoing(f"{TOMBSTONE_TYPE}.v1", JSON, Outgoing(topic, key, None))

    def _outgoing(self, event_type: str, content: bytes, bare: Outgoing) -> Outgoing:
        sequence = next(self._sequence)
        headers: tuple[tuple[str, bytes], ...] = (
            ("ce_specversion", b"1.0"),
            ("ce_id", f"{self._incarnation}-{sequence}".encode()),
            ("ce_type", event_type.encode()),
            ("ce_source", self._source.encode()),
            ("ce_time", datetime.now(UTC).isoformat().encode()),
            ("content-type", content),
            ("sg_sender", self._source.encode()),
            ("sg_incarnation", str(self._incarnation).encode()),
            ("sg_sequence", str(sequence).encode()),
            ("sg_fence", str(self._fence).encode()),
        )
        if self._key is not None:
            signed = canonical_bytes(bare.topic, bare.key, headers, bare.value)
            headers += (("sg_signature", self._key.sign(signed)),)
        return Outgoing(bare.topic, bare.key, bare.value, headers, bare.partition)


def open_envelope(record: LogRecord, trusted: Mapping[str, VerifyKey] | None) -> Opened:
    """Read a record's envelope and check its signature.

    Args:
        record: as read from the log; skip tombstones (null values) before.
        trusted: public keys by sender; None where no signature is needed (a site's own cluster).

    Raises:
        EnvelopeError: it is not ours, not signed by a trusted sender, or was changed.
    """
    headers = dict(record.headers)
    if len(headers) != len(record.headers):
        raise EnvelopeError("duplicate-header", "a header occurs twice")
    match = _TYPE.fullmatch(_text(headers, "ce_type"))
    if match is None:
        raise EnvelopeError("not-ours", f"ce_type is {_text(headers, 'ce_type')[:100]!r}")
    if record.value is None:
        raise EnvelopeError("null-value", "a tombstone has no message")
    sender = _text(headers, "sg_sender")
    if trusted is not None:
        _check_signature(record, headers, sender, trusted)
    return Opened(
        match["type"],
        sender,
        _number(headers, "sg_incarnation"),
        _number(headers, "sg_sequence"),
        _number(headers, "sg_fence"),
        record.value,
        int(match["major"]),
    )


def read_message(cls: type[M], opened: Opened) -> M:
    """Parse the JSON message of an opened envelope.

    Raises:
        EnvelopeError: it is of another type (``wrong-type``), malformed (``bad-message``) or of a version that
            this build does not read (``unsupported-version``).
    """
    if opened.type != cls.TYPE:
        raise EnvelopeError("wrong-type", f"is {opened.type}, expected {cls.TYPE}")
    return parse_message(cls, opened.value)


def parse_message(cls: type[M], value: bytes | str) -> M:
    """Parse a message's JSON, with the reasons of `EnvelopeError`."""
    try:
        return cls.read(value)
    except UnsupportedVersionError as error:
        raise EnvelopeError("unsupported-version", str(error)) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise EnvelopeError("bad-message", f"{cls.TYPE} {where}: {first['msg']}") from None


def _check_signature(
    record: LogRecord, headers: dict[str, bytes], sender: str, trusted: Mapping[str, VerifyKey]
) -> None:
    signature = headers.pop("sg_signature", None)
    if signature is None:
        raise EnvelopeError("unsigned", f"from {sender[:100]!r} without a signature")
    key = trusted.get(sender)
    if key is None:
        raise EnvelopeError("unknown-key", f"no key of {sender[:100]!r}; enrol it with `streamgauge keys enrol`")
    if not key.verify(signature, canonical_bytes(record.topic, record.key, headers.items(), record.value)):
        raise EnvelopeError("bad-signature", f"the signature is not that of {sender[:100]!r} over this record")


def _text(headers: Mapping[str, bytes], name: str) -> str:
    raw = headers.get(name)
    if raw is None:
        raise EnvelopeError("not-ours", f"header {name} is missing")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise EnvelopeError("bad-header", f"header {name} is not UTF-8") from None


def _number(headers: Mapping[str, bytes], name: str) -> int:
    text = _text(headers, name)
    # At most 19 digits keeps int() cheap; isdigit alone would take other alphabets' digits.
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= _LARGEST):
        raise EnvelopeError("bad-header", f"header {name} is {text[:40]!r}, expected a whole number below 2^63")
    return int(text)
