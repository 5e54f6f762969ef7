"""The replay's loop: make messages, send those that are due, say how far it is, keep the position."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Protocol

import numpy as np

from services.replay.ahead import ahead
from services.replay.chunks import Chunk
from services.replay.faults import Faults
from services.replay.messages import Composer, Messages
from services.replay.metrics import ReplayMetrics
from services.replay.options import Site
from services.replay.pacing import Pacer
from services.replay.position import Position, PositionFile
from services.replay.progress import Clock, Screen, Share, State, event_time_text, time_left
from services.replay.senders import Sender
from services.replay.split import counts_of

_TICK_S = 0.05
"""Between two batches at a given rate: many tiny ones would cost every reader more than the records do."""
REPORT_S = 1.0


class Source(Protocol):
    """Where chunks come from."""

    @property
    def ahead(self) -> int:
        """Chunks that may be taken in advance of sending."""

    def chunks(self, begin: Position) -> Iterator[Chunk]:
        """The rows from a position on."""

    def position_of(self, row: int) -> Position:
        """The position at a row."""


class Ledger:
    """What was handed over and what was acknowledged, by site."""

    def __init__(self, sites: tuple[Site, ...], metrics: ReplayMetrics) -> None:
        self._names = [site.name for site in sites]
        self.metrics = metrics
        self._open = [np.zeros(len(sites), np.int64), np.zeros(len(sites), np.int64)]
        self.sent = dict.fromkeys(self._names, 0)
        self.attacks = dict.fromkeys(self._names, 0)

    def add(self, messages: Messages, low: int, high: int) -> None:
        """Note messages that were handed over."""
        sites = messages.sites[low:high]
        for total, weights in zip(self._open, (messages.counts, messages.attacks), strict=True):
            total += counts_of(sites, weights[low:high], len(self._names))

    def settle(self) -> None:
        """All that was handed over is acknowledged."""
        kinds = ((self.sent, self.metrics.records), (self.attacks, self.metrics.attacks))
        for total, (known, metric) in zip(self._open, kinds, strict=True):
            for name, count in zip(self._names, total.tolist(), strict=True):
                known[name] += count
                metric.labels(name).inc(count)
            total[:] = 0


class Replay:
    """Sends a source's records until it is stopped or done.

    Args:
        source: of chunks.
        composer: makes messages of them.
        faults: spoils them.
        sender: sends them.
        pacer: says which are due.
        ledger: counts what was acknowledged.
        batch: most messages handed over at once.
    """

    def __init__(
        self,
        source: Source,
        composer: Composer,
        faults: Faults,
        sender: Sender,
        pacer: Pacer,
        ledger: Ledger,
        batch: int,
    ) -> None:
        self._source, self._composer, self._faults, self._sender = source, composer, faults, sender
        self._pacer, self._ledger, self._batch = pacer, ledger, batch
        self._state = State(sent=ledger.sent, attacks=ledger.attacks)
        self._event_time: float | None = None
        self._newest_s = -np.inf
        self._next_row = self._reached = 0

    def run(self, stop: threading.Event, reporter: Reporter, begin: Position) -> bool:
        """Send all from `begin` on; True if nothing was left to send, False after a stop."""
        self._next_row = self._reached = begin.row
        done = False
        try:
            with closing(self._messages(begin)) as made:
                done = all(self._send(messages, stop, reporter) for messages in made)
        finally:
            self._state.phase = "done" if done else "stopped"
            if done or stop.is_set():
                self._report(reporter)
        return done

    def _messages(self, begin: Position) -> Generator[Messages, None, None]:
        with closing(self._composed(begin)) as composed, closing(ahead(composed, self._source.ahead)) as taken:
            for end, messages in taken:
                # Not in advance: the position counts what is held back now.
                yield self._faults.on_messages(messages)
                self._next_row = end
        if (rest := self._faults.rest()) is not None:
            yield rest

    def _composed(self, begin: Position) -> Generator[tuple[int, Messages], None, None]:
        """Each chunk's messages, and the row after its last one."""
        for chunk in self._source.chunks(begin):
            yield chunk.first_row + len(chunk), self._composer.messages(self._faults.on_chunk(chunk))

    def _send(self, messages: Messages, stop: threading.Event, reporter: Reporter) -> bool:
        """Send one chunk's messages as they fall due; False after a stop."""
        at = 0
        self._state.phase = messages.phase
        while at < len(messages):
            now = reporter.clock()
            count = self._pacer.due(messages, at, now, self._batch)
            if count:
                self._sender.send(messages, at, at + count)
                self._ledger.add(messages, at, at + count)
                self._pacer.sent(int(messages.counts[at : at + count].sum()))
                at += count
                self._reached = max(self._reached, int(messages.rows[at - count : at].max()) + 1)
                # The record's own: a late one, due long after, is no newer for that.
                self._newest_s = max(self._newest_s, max(messages.stamps_ms[at - count : at]) / 1000)
                self._event_time = min(float(messages.due[at - 1]), self._newest_s)
            if reporter.is_due():
                self._state.behind_s = round(self._pacer.behind_s(messages, at, reporter.clock()), 2)
                self._report(reporter, int(messages.rows[at:].min()) if at < len(messages) else None)
            if stop.is_set():
                self._next_row = int(messages.rows[at:].min()) if at < len(messages) else self._next_row
                return False
            if not count or (self._pacer.paced and at < len(messages)):
                stop.wait(_TICK_S)
        return True

    def _report(self, reporter: Reporter, unsent_row: int | None = None) -> None:
        """Wait for the acknowledgements, then say and keep what is certain."""
        self._sender.flush()
        self._ledger.settle()
        rows = [row for row in (unsent_row, self._faults.held_row) if row is not None]
        self._state.faults = dict(self._faults.counts)
        if self._event_time is not None and np.isfinite(self._event_time):
            self._state.event_time = event_time_text(self._event_time)
            self._ledger.metrics.event_time.set(self._event_time)
        position = self._source.position_of(min([*rows, self._next_row] if unsent_row is None else rows))
        reporter.report(self._state, position, self._reached)


class Reporter:
    """Says once a second how far it is, and keeps the position.

    Args:
        screen: shows it.
        metrics: shows lag and event time too.
        clock: seconds, monotonic.
        share: of all that is to be sent, None where there is no end.
        file: where the position is kept, if it is.
        begin_row: where it begins.
    """

    def __init__(
        self,
        screen: Screen,
        metrics: ReplayMetrics,
        clock: Clock,
        share: Share,
        file: PositionFile | None,
        begin_row: int,
    ) -> None:
        self.clock = clock
        self._screen, self._metrics, self._share, self._file = screen, metrics, share, file
        self._start = self._last = clock()
        self._before = 0
        self._begin_row = begin_row

    def is_due(self) -> bool:
        """Whether a second has passed since the last report."""
        return self.clock() >= self._last + REPORT_S

    def report(self, state: State, position: Position, reached: int) -> None:
        """Show the state, all before the row `reached` being sent or held back, and write the position."""
        now, sent = self.clock(), sum(state.sent.values())
        state.rate = round((sent - self._before) / (now - self._last), 1) if now > self._last else 0.0
        self._last, self._before = now, sent
        share = self._share(reached)
        if share is not None and state.phase == "done":
            share = 1.0  # a message of many records, or rows that were dropped, leave the last row unnamed
        state.share = None if share is None else round(share, 4)
        state.left_s = time_left(share, self._share(self._begin_row) or 0.0, now - self._start)
        self._metrics.behind.set(state.behind_s)
        self._screen.show(state)
        if self._file is not None:
            self._file.write(position, done=state.phase == "done")
