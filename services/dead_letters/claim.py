"""One replay at a time: each says in the dead letters' topic that it began; the first of them works (ADR 045)."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.dead_letters.letters import between, partitions_of
from services.runtime.errors import ServiceError
from services.runtime.log import Consumer, Outgoing, Producer

LEASE_S = 30.0
"""A replay of which nothing was heard for so long has died."""
RENEW_S = 5.0
_RUN, _STATE, _WHO = "sg_replay_run", "sg_replay_state", "sg_replay_by"


class ReplayBusyError(ServiceError):
    """Another replay is at work, or this one was away for so long that another may have begun."""


@dataclass
class _Run:
    """A replay as the topic tells of it."""

    first: int
    last: int
    by: str
    ended: bool = False


class Claim:
    """A replay's right to send. Made, it is announced; `take` waits for its turn, `hold` keeps it.

    Two replays at once would both find a letter not sent. All of them write to the topic's first partition, whose
    order decides. Durations are each replay's own; no clocks are compared.

    Args:
        consumer, producer: of the records cluster; the consumer is assigned anew.
        topic: of the dead letters.
        clock, wait: monotonic seconds, and what passes some.
    """

    def __init__(
        self,
        consumer: Consumer,
        producer: Producer,
        topic: str,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._consumer, self._producer, self._clock, self._wait = consumer, producer, clock, wait
        self._place = min(partitions_of(consumer, topic))
        self._name = uuid.uuid4().hex
        self._runs: dict[str, _Run] = {}
        self._next = consumer.beginning(self._place)
        self._held_until = 0.0
        self._renewed = 0.0
        self._first = self._write("began")

    def take(self, say: Callable[[str], None]) -> None:
        """Return once no earlier replay is at work.

        Raises:
            ReplayBusyError: one is.
        """
        self._read()
        before = {name: run.last for name, run in self._earlier().items()}
        if before:
            by = ", ".join(sorted({run.by for run in self._earlier().values()}))
            say(f"another replay ({by}) has not ended: waiting at most {LEASE_S:g} s to see whether it still runs")
        deadline = self._clock() + LEASE_S
        while before and self._clock() < deadline:
            self._wait(0.2)
            self.hold()
            self._read()
            now = self._earlier()
            for name, run in now.items():
                if run.last > before[name]:
                    raise ReplayBusyError(
                        f"another replay ({run.by}) is at work: nothing was sent; wait for its end"
                    )
            before = {name: run.last for name, run in now.items()}
        for name in before:  # died; said, so that the next replay need not wait for it
            self._write("ended", name)

    def hold(self) -> None:
        """Renew the claim when that is due. Call it often, and right before sending.

        Raises:
            ReplayBusyError: it ran out.
        """
        until, now = self._held_until, self._clock()
        if until >= now >= self._renewed + RENEW_S:
            self._write("works")
        if self._clock() > until:  # also where the renewal itself took too long: nobody saw it in time
            raise ReplayBusyError(
                f"the broker or this machine stood still for more than {LEASE_S:g} s, and another replay may have "
                "begun: stopped; run it again"
            )

    def release(self) -> None:
        """Say that this replay has ended."""
        self._write("ended")

    def _write(self, state: str, name: str | None = None) -> int:
        by = f"{socket.gethostname()}, process {os.getpid()}"
        now = self._clock()
        headers = ((_RUN, (name or self._name).encode()), (_STATE, state.encode()), (_WHO, by.encode()))
        message = Outgoing(self._place.topic, b"replay", b"", headers, self._place.partition)
        (sent,) = self._producer.deliver([message])
        if name is None:  # counted from before it was sent: others count from when they saw it
            self._renewed, self._held_until = now, now + LEASE_S
        return sent.offset

    def _read(self) -> None:
        for record in between(self._consumer, {self._place: self._next}):
            self._next = record.offset + 1
            headers = {name: value.decode("utf-8", "replace") for name, value in record.headers}
            if (name := headers.get(_RUN)) is not None and name != self._name:
                run = self._runs.setdefault(name, _Run(record.offset, record.offset, headers.get(_WHO, "unknown")))
                run.last = record.offset
                run.ended |= headers.get(_STATE) == "ended"

    def _earlier(self) -> dict[str, _Run]:
        return {name: run for name, run in self._runs.items() if run.first < self._first and not run.ended}


@contextmanager
def claimed(
    consumer: Consumer, producer: Producer, topic: str, say: Callable[[str], None]
) -> Iterator[Callable[[], None]]:
    """The right to send again, for as long as it lasts; gives what must be called meanwhile (`Claim.hold`).

    Raises:
        ReplayBusyError: another replay is at work.
        TopicError: there is no such topic.
    """
    claim = Claim(consumer, producer, topic)
    try:
        claim.take(say)
        yield claim.hold
    finally:
        claim.release()
