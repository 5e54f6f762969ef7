"""One site's records, from rows of the recording to messages."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from services.replay.data import TRUTH_HEADER, Recording
from services.replay.scenario import SiteStream
from services.runtime.log import Outgoing
from streamgauge.profiles.fields import ISO8601, STRPTIME, UNIX_MS, UNIX_S, TimeField

TimeText = Callable[[float], bytes]


def time_text(format_: str) -> TimeText:
    """A function from seconds since the epoch to the JSON value that a profile with this format reads."""
    if format_ == UNIX_S:
        return lambda seconds: f"{seconds:.3f}".encode()
    if format_ == UNIX_MS:
        return lambda seconds: b"%d" % round(seconds * 1000)
    pattern = "%Y-%m-%dT%H:%M:%S.%fZ" if format_ == ISO8601 else format_.removeprefix(STRPTIME)
    return lambda seconds: json.dumps(datetime.fromtimestamp(seconds, UTC).strftime(pattern)).encode()


@dataclass(frozen=True)
class Messages:
    """A recording as messages: everything that does not change from one sending to the next."""

    values: list[bytes]
    keys: list[bytes]
    headers: list[tuple[tuple[str, bytes], ...]]
    partitions: list[int]
    attack: list[bool]
    time_text: TimeText | None

    @classmethod
    def of(cls, recording: Recording, site: str, time: TimeField, partitions: int) -> Messages:
        """Prepare a recording for one site; where the profile takes the entity from the key, it is the site."""
        keys = [(entity or site).encode() for entity in recording.entities]
        prefix = b"{" if time.field is None else b"," if recording.bodies[0] != b"}" else b""
        return cls(
            values=[prefix + body for body in recording.bodies],
            keys=keys,
            headers=[((TRUTH_HEADER, truth),) for truth in recording.truths],
            partitions=[zlib.crc32(key) % partitions for key in keys],
            attack=recording.attack.tolist(),
            time_text=None if time.field is None else _field_text(time),
        )


def _field_text(time: TimeField) -> TimeText:
    start, value = b"{" + json.dumps(time.field).encode() + b":", time_text(time.format)
    return lambda seconds: start + value(seconds)


class SitePublisher:
    """Makes a site's messages in order and knows where it stands.

    Args:
        topic: where they go.
        messages: the recording.
        stream: which rows come next.
        start_s: event time of the first record.
        step_s: event time from one record to the next of this site.
    """

    def __init__(self, topic: str, messages: Messages, stream: SiteStream, start_s: float, step_s: float) -> None:
        self.topic = topic
        self.phase: str = "normal"
        self.sent = 0
        self.attacks = 0
        self._messages = messages
        self._stream = stream
        self.begin_bursts = stream.begin_bursts
        self._start_s = start_s
        self._step_s = step_s

    @property
    def event_time_s(self) -> float:
        """Event time of the last record."""
        return self._start_s + max(0, self.sent - 1) * self._step_s

    def batch(self, count: int) -> list[Outgoing]:
        """The next `count` messages; counted as sent."""
        batch: list[Outgoing] = []
        for phase, rows in self._stream.take(count):
            times = self._start_s + self._step_s * (self.sent + np.arange(len(rows)))
            batch += map(self._message, rows.tolist(), times.tolist())
            self.phase = phase
            self.sent += len(rows)
            self.attacks += sum(map(self._messages.attack.__getitem__, rows.tolist()))
        return batch

    def _message(self, row: int, time_s: float) -> Outgoing:
        m = self._messages
        value = m.values[row] if m.time_text is None else m.time_text(time_s) + m.values[row]
        return Outgoing(self.topic, m.keys[row], value, m.headers[row], m.partitions[row], int(time_s * 1000))
