"""The contract of the log seam, on the log in process, the embedded broker and Apache Kafka."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping

import pytest
from kafka.consumer.fetcher import Fetcher

from services.runtime.errors import MessageTooLargeError, TopicError
from services.runtime.log import Committed, Consumer, LogRecord, LogReset, Outgoing, Partition
from tests.backends import LogBackend

TIMEOUT_S = 20.0


def read(consumer: Consumer, count: int) -> tuple[list[LogRecord], list[LogReset]]:
    """Poll until `count` records came, and what resets were seen."""
    records: list[LogRecord] = []
    resets: list[LogReset] = []
    deadline = time.monotonic() + TIMEOUT_S
    while len(records) < count:
        assert time.monotonic() < deadline, f"{len(records)} of {count} records after {TIMEOUT_S} s"
        polled = consumer.poll(0.2)
        resets += polled.resets
        for batch in polled.records.values():
            records += batch
    return records, resets


def until(done: Callable[[], bool], what: str, timeout_s: float = TIMEOUT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"


def values(records: list[LogRecord]) -> list[bytes | None]:
    return [record.value for record in records]


def numbered(topic: str, count: int, partition: int | None = None) -> list[Outgoing]:
    return [Outgoing(topic, b"k", str(number).encode(), (), partition) for number in range(count)]


def missing_in_embedded(request: pytest.FixtureRequest, backend: LogBackend, reason: str) -> None:
    if backend.kind == "embedded":
        request.node.add_marker(pytest.mark.xfail(strict=True, reason=reason))


def test_deliver_tells_where_each_record_lies(log_backend: LogBackend) -> None:
    topic = log_backend.create_topic(partitions=3)
    sent = log_backend.producer().deliver(numbered(topic, 20, partition=1))
    assert [found.partition for found in sent] == [Partition(topic, 1)] * 20
    assert [found.offset for found in sent] == list(range(20))


def test_records_of_one_key_keep_their_order(log_backend: LogBackend) -> None:
    topic = log_backend.create_topic(partitions=3)
    sent = log_backend.producer().deliver(numbered(topic, 50))
    assert len({found.partition for found in sent}) == 1
    assert [found.offset for found in sent] == list(range(50))


def test_every_field_of_a_record_arrives(log_backend: LogBackend) -> None:
    topic = log_backend.create_topic()
    headers = (("ce_type", b"x"), ("empty", b""), ("ce_type", b"again"))
    before = time.time_ns() // 1_000_000 - 5000
    log_backend.producer().deliver(
        [
            Outgoing(topic, b"key", b"value", headers, 0, 1_700_000_000_123),
            Outgoing(topic, b"key", None),
            Outgoing(topic, None, b""),
        ]
    )
    consumer = log_backend.consumer()
    consumer.assign({Partition(topic, 0): 0})
    first, tombstone, keyless = read(consumer, 3)[0]
    assert (first.topic, first.partition, first.offset, first.timestamp) == (topic, 0, 0, 1_700_000_000_123)
    assert (first.key, first.value, tuple(first.headers)) == (b"key", b"value", headers)
    assert (tombstone.key, tombstone.value, tuple(tombstone.headers)) == (b"key", None, ())
    assert (keyless.key, keyless.value) == (None, b"")
    assert tombstone.timestamp > before


def test_key_and_value_both_null_are_refused(log_backend: LogBackend) -> None:
    topic = log_backend.create_topic()
    with pytest.raises(ValueError, match="both None"):
        log_backend.producer().deliver([Outgoing(topic, None, None)])


def test_a_message_over_the_limit_is_refused_and_the_producer_goes_on(log_backend: LogBackend) -> None:
    topic = log_backend.create_topic(max_message_bytes=10_000)
    producer = log_backend.producer()
    with pytest.raises(MessageTooLargeError, match=r"message of 20\d\d\d bytes.*10000 bytes.*max\.message\.bytes"):
        producer.deliver([Outgoing(topic, b"k", b"small"), Outgoing(topic, b"k", b"x" * 20_000)])
    assert producer.deliver([Outgoing(topic, b"k", b"next")])[0].offset == 0


def test_16_mib_pass(log_backend: LogBackend) -> None:
    topic = log_backend.create_topic(max_message_bytes=1 << 24)
    large = b"x" * ((1 << 24) - 200)
    log_backend.producer().deliver([Outgoing(topic, b"k", large), Outgoing(topic, b"k", b"after")])
    consumer = log_backend.consumer()
    consumer.assign({Partition(topic, 0): 0})
    assert values(read(consumer, 2)[0]) == [large, b"after"]


def test_waiting_for_records_is_cheap(log_backend: LogBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the broker waits (Kafka) or answers at once (embedded): a few questions a second, not a thousand."""
    answers: list[object] = []
    handle = Fetcher._handle_fetch_response

    def counted(*arguments: object) -> object:
        answers.append(arguments)
        return handle(*arguments)

    monkeypatch.setattr(Fetcher, "_handle_fetch_response", counted)
    topic = log_backend.create_topic()
    consumer = log_backend.consumer()
    consumer.assign({Partition(topic, 0): 0})
    consumer.poll(0.5)
    began, worked = time.monotonic(), time.process_time()
    answers.clear()
    for _ in range(5):
        consumer.poll(0.2)
    seconds = time.monotonic() - began
    assert seconds > 0.9
    assert len(answers) < 50 * seconds
    assert time.process_time() - worked < 0.1 * seconds


def test_a_missing_topic_is_named(log_backend: LogBackend) -> None:
    missing = f"missing-{uuid.uuid4().hex}"
    with pytest.raises(TopicError, match=missing):
        log_backend.producer().deliver([Outgoing(missing, b"k", b"v")])
    with pytest.raises(TopicError, match=missing):
        log_backend.producer().prepare([missing])
    assert log_backend.consumer().partitions(missing) == frozenset()


def test_a_producer_that_was_prepared_delivers(log_backend: LogBackend) -> None:
    topic, producer = log_backend.create_topic(partitions=1), log_backend.producer()
    producer.prepare([topic])
    (sent,) = producer.deliver([Outgoing(topic, b"k", b"v")])
    assert sent.partition == Partition(topic, 0)


def test_partitions_lists_all(log_backend: LogBackend) -> None:
    topic = log_backend.create_topic(partitions=3)
    assert log_backend.consumer().partitions(topic) == {Partition(topic, number) for number in range(3)}


def test_topics_lists_what_there_is_and_what_comes(log_backend: LogBackend) -> None:
    first, consumer = log_backend.create_topic(), log_backend.consumer()
    assert first in consumer.topics()
    second = log_backend.create_topic()
    until(lambda: second in consumer.topics(), "the new topic is listed")


def test_reading_starts_where_it_was_assigned_and_seeks(log_backend: LogBackend) -> None:
    topic = log_backend.create_topic()
    log_backend.producer().deliver(numbered(topic, 10))
    consumer = log_backend.consumer()
    consumer.assign({Partition(topic, 0): 7})
    assert values(read(consumer, 3)[0]) == [b"7", b"8", b"9"]
    consumer.seek(Partition(topic, 0), 2)
    assert values(read(consumer, 8)[0])[:2] == [b"2", b"3"]


def test_all_of_many_records_come_in_order_and_in_bounded_polls(log_backend: LogBackend) -> None:
    topic = log_backend.create_topic()
    log_backend.producer().deliver(numbered(topic, 2000))
    consumer = log_backend.consumer()
    consumer.assign({Partition(topic, 0): 0})
    assert [record.offset for record in read(consumer, 2000)[0]] == list(range(2000))
    consumer.seek(Partition(topic, 0), 0)
    sizes: list[int] = []
    deadline = time.monotonic() + TIMEOUT_S
    while sum(sizes) < 2000 and time.monotonic() < deadline:
        sizes.append(sum(map(len, consumer.poll(0.2).records.values())))
    assert sum(sizes) == 2000
    assert max(sizes) <= 500


def test_lag_counts_what_is_behind(log_backend: LogBackend) -> None:
    topic = log_backend.create_topic()
    log_backend.producer().deliver(numbered(topic, 5))
    consumer, partition = log_backend.consumer(), Partition(topic, 0)
    assert consumer.lag(partition) is None
    consumer.assign({partition: 0})
    read(consumer, 5)
    assert consumer.lag(partition) == 0
    log_backend.producer().deliver(numbered(topic, 3))
    read(consumer, 3)
    consumer.seek(partition, 6)
    assert consumer.lag(partition) == 2


def test_records_fetched_in_advance_are_not_handed_out_after_a_seek_or_an_assignment(
    log_backend: LogBackend,
) -> None:
    topic = log_backend.create_topic(partitions=2)
    producer, consumer = log_backend.producer(), log_backend.consumer()
    producer.deliver([record for n in range(2) for record in numbered(topic, 3000, partition=n)])
    first, second = Partition(topic, 0), Partition(topic, 1)
    consumer.assign({first: 0, second: 0})
    read(consumer, 400)
    consumer.seek(first, 2000)
    consumer.seek(second, 2500)
    found = read(consumer, 1500)[0]
    assert [r.offset for r in found if r.partition == 0] == list(range(2000, 3000))
    assert [r.offset for r in found if r.partition == 1] == list(range(2500, 3000))
    consumer.assign({second: 2990})
    assert [(r.partition, r.offset) for r in read(consumer, 10)[0]] == [(1, n) for n in range(2990, 3000)]


def test_a_position_outside_of_one_log_doubles_no_record_of_another(log_backend: LogBackend) -> None:
    topic = log_backend.create_topic(partitions=2)
    log_backend.producer().deliver([r for n in range(2) for r in numbered(topic, 2000, partition=n)])
    consumer = log_backend.consumer(f"group-{uuid.uuid4().hex}")
    first, second = Partition(topic, 0), Partition(topic, 1)
    consumer.assign({first: 0, second: 1000})
    read(consumer, 1)
    consumer.seek(second, 5000)
    for _ in range(100):  # meanwhile records of the one arrive, and that the other has no such position
        consumer.commit({first: Committed(0, "")})
    offsets: list[int] = []
    while not offsets or offsets[-1] < 1999:
        offsets += [record.offset for record in read(consumer, 1)[0] if record.partition == 0]
    assert len(set(offsets)) == len(offsets)


def test_commits_between_polls_lose_no_record(log_backend: LogBackend) -> None:
    topic, group = log_backend.create_topic(), f"group-{uuid.uuid4().hex}"
    log_backend.producer().deliver(numbered(topic, 5000))
    consumer, partition = log_backend.consumer(group), Partition(topic, 0)
    consumer.assign({partition: 0})
    offsets: list[int] = []
    while len(offsets) < 5000:
        offsets += [record.offset for record in read(consumer, 1)[0]]
        assert consumer.commit({partition: Committed(len(offsets), "")})
    assert offsets == list(range(5000))
    assert log_backend.consumer(group).committed(partition) == Committed(5000, "")


def test_beginning_end_and_offset_by_time(log_backend: LogBackend) -> None:
    topic = log_backend.create_topic()
    partition, consumer = Partition(topic, 0), log_backend.consumer()
    assert (consumer.beginning(partition), consumer.end(partition)) == (0, 0)
    log_backend.producer().deliver(
        [Outgoing(topic, b"k", b"v", (), 0, 1_700_000_000_000 + n * 1000) for n in range(4)]
    )
    assert (consumer.beginning(partition), consumer.end(partition)) == (0, 4)
    assert consumer.offset_at(partition, 1_700_000_001_500) == 2
    assert consumer.offset_at(partition, 1_800_000_000_000) == 4


def test_commits_carry_metadata(log_backend: LogBackend) -> None:
    topic = log_backend.create_topic(partitions=2)
    group = f"group-{uuid.uuid4().hex}"
    consumer = log_backend.consumer(group)
    partition = Partition(topic, 1)
    consumer.assign({partition: 0})
    assert consumer.committed(partition) is None
    assert consumer.commit({partition: Committed(17, "incarnation=abc")})
    assert log_backend.consumer(group).committed(partition) == Committed(17, "incarnation=abc")
    assert consumer.generation == -1


def test_a_topic_made_again_is_read_from_its_first_record(log_backend: LogBackend) -> None:
    topic = log_backend.create_topic()
    producer, consumer, partition = log_backend.producer(), log_backend.consumer(), Partition(topic, 0)
    producer.deliver(numbered(topic, 20))
    consumer.assign({partition: 0})
    read(consumer, 20)
    log_backend.recreate_topic(topic)
    log_backend.producer().deliver([Outgoing(topic, b"k", b"first of the new log")])
    records, resets = read(consumer, 1)
    assert values(records) == [b"first of the new log"]
    assert [reset.partition for reset in resets] == [partition]
    assert resets[0].topic_id == consumer.topic_id(topic)


def test_a_topic_made_again_that_has_grown_past_is_read_from_its_first_record(
    log_backend: LogBackend, request: pytest.FixtureRequest
) -> None:
    missing_in_embedded(request, log_backend, "no topic ids: a new log that is longer looks like the old one")
    topic = log_backend.create_topic()
    consumer, partition = log_backend.consumer(), Partition(topic, 0)
    log_backend.producer().deliver(numbered(topic, 5))
    consumer.assign({partition: 0})
    read(consumer, 5)
    log_backend.recreate_topic(topic)
    log_backend.producer().deliver(numbered(topic, 30))
    # Nothing tells the client at once: it may first read on, but soon sees the other id and starts over.
    resets: list[LogReset] = []
    deadline = time.monotonic() + 6
    while not resets and time.monotonic() < deadline:
        resets += consumer.poll(0.2).resets
    assert [reset.partition for reset in resets] == [partition]
    assert [record.offset for record in read(consumer, 30)[0]] == list(range(30))


def test_a_topic_made_again_has_another_id(log_backend: LogBackend, request: pytest.FixtureRequest) -> None:
    missing_in_embedded(request, log_backend, "no topic ids")
    topic = log_backend.create_topic()
    consumer = log_backend.consumer()
    before = consumer.topic_id(topic)
    assert before is not None
    assert consumer.topic_id(topic) == before
    log_backend.recreate_topic(topic)
    assert consumer.topic_id(topic) not in (None, before)


def test_commits_go_with_their_topic(log_backend: LogBackend, request: pytest.FixtureRequest) -> None:
    missing_in_embedded(request, log_backend, "commits outlive their deleted topic")
    topic = log_backend.create_topic()
    group, partition = f"group-{uuid.uuid4().hex}", Partition(topic, 0)
    consumer = log_backend.consumer(group)
    consumer.assign({partition: 0})
    assert consumer.commit({partition: Committed(3, "")})
    log_backend.recreate_topic(topic)
    fresh = log_backend.consumer(group)
    until(lambda: fresh.committed(partition) is None, "the commit is gone", timeout_s=4)


class Member:
    """A member of a group that commits what it gives up."""

    def __init__(self, backend: LogBackend, group: str, topic: str) -> None:
        self.consumer = backend.consumer(group)
        self.owned: set[Partition] = set()
        self.commits: list[bool] = []
        self.consumer.subscribe([topic], self._assigned, self._revoked)

    def _assigned(self, partitions: frozenset[Partition]) -> Mapping[Partition, int]:
        self.owned |= partitions
        # Blocking calls on the same consumer must work here.
        committed = {partition: self.consumer.committed(partition) for partition in partitions}
        return {partition: found.offset if found else 0 for partition, found in committed.items()}

    def _revoked(self, partitions: frozenset[Partition]) -> None:
        self.commits.append(self.consumer.commit(dict.fromkeys(partitions, Committed(1, "revoked"))))
        self.owned -= partitions


def test_two_members_share_and_the_last_takes_over(
    log_backend: LogBackend, request: pytest.FixtureRequest
) -> None:
    missing_in_embedded(request, log_backend, "refuses commits as soon as a rebalance has begun")
    topic, group = log_backend.create_topic(partitions=4), f"group-{uuid.uuid4().hex}"
    log_backend.producer().deliver([record for n in range(4) for record in numbered(topic, 3, partition=n)])
    first = Member(log_backend, group, topic)
    until(lambda: bool(first.consumer.poll(0.1)) and len(first.owned) == 4, "the first has all")
    second = Member(log_backend, group, topic)
    until(
        lambda: bool(first.consumer.poll(0.05)) and bool(second.consumer.poll(0.05))
        and len(first.owned) == len(second.owned) == 2 and not first.owned & second.owned,
        "they share",
    )  # fmt: skip
    assert first.commits
    assert all(first.commits)
    assert first.consumer.generation >= 0
    given_up = next(iter(second.owned))
    assert second.consumer.committed(given_up) == Committed(1, "revoked")
    second.consumer.close()
    until(lambda: bool(first.consumer.poll(0.1)) and len(first.owned) == 4, "the first has all again")


def test_a_member_commits_nothing_when_it_closes(log_backend: LogBackend) -> None:
    topic, group = log_backend.create_topic(), f"group-{uuid.uuid4().hex}"
    member = Member(log_backend, group, topic)
    until(lambda: bool(member.consumer.poll(0.1)) and len(member.owned) == 1, "it has the partition")
    member.consumer.close()
    assert not member.commits
    assert log_backend.consumer(group).committed(Partition(topic, 0)) is None


def test_an_error_in_a_callback_reaches_the_caller_of_poll(log_backend: LogBackend) -> None:
    topic = log_backend.create_topic()
    consumer = log_backend.consumer(f"group-{uuid.uuid4().hex}")

    def fail(partitions: frozenset[Partition]) -> Mapping[Partition, int]:
        raise LookupError("no context")

    consumer.subscribe([topic], fail, lambda _: None)

    def poll_for_a_while() -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            consumer.poll(0.1)

    with pytest.raises(LookupError, match="no context"):
        poll_for_a_while()


def test_several_threads_may_deliver(log_backend: LogBackend) -> None:
    topic = log_backend.create_topic()
    producers = [log_backend.producer() for _ in range(3)]
    threads = [threading.Thread(target=each.deliver, args=(numbered(topic, 50),)) for each in producers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert log_backend.consumer().end(Partition(topic, 0)) == 150
