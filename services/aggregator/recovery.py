"""A database that was lost, or restored from a backup, must not number releases again.

Nodes apply only a higher `release_seq`: an aggregator that began anew at 1 would be ignored for ever. What was
sent is in the log, so the log is asked at the start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from schemas import Release, RoundPlan
from services.runtime.envelope import open_envelope, read_message
from services.runtime.errors import BrokerError, EnvelopeError
from services.runtime.log import Consumer, LogRecord, Partition
from services.runtime.logging import get_logger
from services.runtime.signing import VerifyKey
from services.runtime.topics import Topics
from streamgauge.federation.round_state import State

READ_LIMIT_S = 120.0
_POLL_S = 1.0
M = TypeVar("M", Release, RoundPlan)
_log = get_logger("aggregator.recovery")


class Recovery:
    """Compares the database with what the aggregator has said.

    Args:
        federation: its name.
        topics: names.
        consumer: is assigned other partitions by this; assign it anew afterwards.
        own: public key under the aggregator's own name.
        monotonic: seconds, for the time limit.
    """

    def __init__(
        self,
        federation: str,
        topics: Topics,
        consumer: Consumer,
        own: Mapping[str, VerifyKey],
        monotonic: Callable[[], float],
    ) -> None:
        self._federation = federation
        self._topics = topics
        self._consumer = consumer
        self._own = own
        self._monotonic = monotonic
        self.incarnation = 0
        """Highest incarnation under which the aggregator has said something; known after `checked`."""

    def checked(self, state: State) -> State:
        """`state`, or if the log knows newer releases, a state that goes on above them with a new agreement.

        Raises:
            BrokerError: the log could not be read in time.
        """
        releases = [self._read(Release, record) for record in self._records(self._topics.releases)]
        mine = [one for one in releases if one is not None and one.federation == self._federation]
        newest = max((one.release_seq for one in mine), default=0)
        # Numbers of rounds that came to nothing are used up too.
        next_round = max([state.next_round, *(one.round + 1 for one in mine), *self._rounds()])
        if newest <= state.release_seq:
            return replace(state, next_round=next_round)
        lineage = max(one.lineage for one in mine)
        _log.warning(
            "the database is older than the log: beginning a new lineage above what was released",
            in_database=state.release_seq,
            released=newest,
        )
        return State(release_seq=newest, lineage=lineage, next_round=next_round)

    def _rounds(self) -> Iterator[int]:
        for record in self._records(self._topics.rounds):
            plan = self._read(RoundPlan, record)
            if plan is not None and plan.federation == self._federation:
                yield plan.round + 1

    def _read(self, cls: type[M], record: LogRecord) -> M | None:
        """The message, None if it is of another type or not of the aggregator: somebody else's does not count."""
        try:
            opened = open_envelope(record, self._own)
            self.incarnation = max(self.incarnation, opened.incarnation)
            return read_message(cls, opened)
        except EnvelopeError:
            return None

    def _records(self, topic: str) -> Iterator[LogRecord]:
        partition = Partition(topic, 0)
        at, end = self._consumer.beginning(partition), self._consumer.end(partition)
        self._consumer.assign({partition: at})
        deadline = self._monotonic() + READ_LIMIT_S
        while at < end:
            if self._monotonic() > deadline:
                raise BrokerError(f"{partition} could not be read from offset {at} to {end} in {READ_LIMIT_S:g} s")
            for record in self._consumer.poll(_POLL_S).records.get(partition, ()):
                at = record.offset + 1
                yield record
