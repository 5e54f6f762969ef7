"""Whether a topic was deleted and made again, asked beside the loop.

librdkafka goes on by itself at the old offset in a new topic of the same name and tells nobody its id. So the ids
are asked for once a second; the answer is awaited by librdkafka's own threads and looked at with the next poll.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from services.runtime.kafka_admin import plain_id
from services.runtime.rdkafka import broker_errors, client_options
from services.runtime.settings import ClusterSettings

ASK_EVERY_S = 1.0
_MASK = (1 << 64) - 1


class TopicIds:
    """Asks a cluster for topic ids.

    Args:
        cluster: where.
        client_id: name in the broker's logs and quotas.
    """

    def __init__(self, cluster: ClusterSettings, client_id: str) -> None:
        self._cluster = cluster
        self._admin = AdminClient(client_options(cluster, client_id))
        self._asked: dict[str, Future[Any]] = {}
        self._next = 0.0

    def now(self, topics: Iterable[str]) -> dict[str, str | None]:
        """Ids of those of the topics that exist, waiting for the answer; None where the broker has no ids.

        Raises:
            BrokerError: no answer within `request_timeout_s`.
        """
        with broker_errors(self._cluster, "asking for topics"):
            return {name: _id(found) for name, found in self._answers(self._ask(topics)).items()}

    def looked_up(self, topics: Iterable[str], now: float) -> Mapping[str, str | None]:
        """The answer to the last question if it came since the last call, else nothing; never waits.

        Args:
            topics: for the next question.
            now: monotonic time in seconds.
        """
        found: dict[str, str | None] = {}
        if self._asked and all(future.done() for future in self._asked.values()):
            try:
                found = {name: _id(topic) for name, topic in self._answers(self._asked).items()}
            except KafkaException:  # an outage; the next question will be answered
                found = {}
            self._asked = {}
        if not self._asked and now >= self._next:
            self._asked, self._next = self._ask(topics), now + ASK_EVERY_S
        return found

    def _ask(self, topics: Iterable[str]) -> dict[str, Future[Any]]:
        names = sorted(topics)
        if not names:
            return {}
        asked: dict[str, Future[Any]] = self._admin.describe_topics(
            TopicCollection(names), request_timeout=self._cluster.request_timeout_s
        )
        return asked

    @staticmethod
    def _answers(asked: Mapping[str, Future[Any]]) -> dict[str, Any]:
        found = {}
        for name, future in asked.items():
            try:
                found[name] = future.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise
        return found


def _id(topic: Any) -> str | None:
    from uuid import UUID

    uuid = topic.topic_id
    high, low = uuid.get_most_significant_bits() & _MASK, uuid.get_least_significant_bits() & _MASK
    return plain_id(UUID(int=high << 64 | low))
