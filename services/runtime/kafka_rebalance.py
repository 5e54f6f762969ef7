"""Callbacks of a consumer group, so that they may use the consumer.

kafka-python runs a rebalance listener on its I/O thread, where a blocking call such as `commit` is an error and
holds up the heartbeats. Here the callback runs in a thread of its own while the I/O loop goes on; the caller's
thread is inside `poll` all that time, so nothing of the caller runs beside it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.future import Future

from services.runtime.log import Partition

Callback = Callable[[frozenset[Partition]], None]


class Rebalance:
    """The listener of one consumer."""

    def __init__(self, consumer: Any, on_assigned: Callback, on_revoked: Callback) -> None:
        self._consumer = consumer
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._failure: BaseException | None = None
        self.closing = False

    async def on_partitions_assigned(self, assigned: Any) -> None:
        """Called by kafka-python after a rebalance."""
        await self._run(self._on_assigned, assigned)

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Called by kafka-python before a rebalance and while closing."""
        await self._run(self._on_revoked, revoked)

    async def on_partitions_lost(self, lost: Any) -> None:
        """Called by kafka-python when the group went on without us."""
        await self._run(self._on_revoked, lost)

    def raise_failure(self) -> None:
        """Raise what a callback raised, in the thread that polls."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    async def _run(self, callback: Callback, partitions: Any) -> None:
        if self.closing or not partitions:
            return
        done = Future()
        network = self._consumer._net  # no public way to wake the loop from another thread

        def work() -> None:
            try:
                callback(frozenset(Partition(*partition) for partition in partitions))
            except BaseException as error:  # noqa: BLE001 - raised again in the thread that polls
                self._failure = error
            network.call_soon_threadsafe(lambda: done.success(None))

        threading.Thread(target=work, name="kafka-rebalance", daemon=True).start()
        await done
        if self._failure is not None:
            raise RuntimeError("a rebalance callback failed") from self._failure


AsyncConsumerRebalanceListener.register(Rebalance)
