"""Dead letters are sent again once, on each kind of broker."""

from __future__ import annotations

import json
import time

from services.dead_letters.letters import read_letters
from services.dead_letters.replay import Judge, replay
from services.edge_node.dead_letters import Refused, dead_letter
from services.runtime.log import Outgoing
from tests.backends import LogBackend
from tests.contract.test_log import read
from tests.support.plant import plant_profile
from tests.unit.edge_node.kit import good


def test_sent_again_once_to_where_it_came_from(log_backend: LogBackend) -> None:
    source, topic = log_backend.create_topic(partitions=2), log_backend.create_topic(partitions=2)
    producer, consumer = log_backend.producer(), log_backend.consumer()
    now = int(time.time() * 1000) - 3_600_000
    sent = [Outgoing(source, b"key", json.dumps(good(i)).encode(), (), i % 2, now - i) for i in range(6)]
    places = producer.deliver(sent)
    consumer.assign({place.partition: 0 for place in places})
    records, _ = read(consumer, 6)
    bad = [record for record in records if record.partition == 1]
    producer.deliver(
        [dead_letter(topic, "site/one", Refused(r, "missing-field", "power")) for r in (*bad, bad[0])]
    )
    letters = read_letters(consumer, topic)
    assert sorted(letter.copies for letter in letters) == [1, 1, 2]
    done = replay(letters, Judge(plant_profile(), 3600.0), consumer, producer, topic)
    assert sorted(at for _, at in done.sent) == [f"{source}:1:{n}" for n in (3, 4, 5)]
    assert (
        replay(read_letters(consumer, topic), Judge(plant_profile(), 3600.0), consumer, producer, topic).sent == []
    )
    consumer.assign({places[1].partition: 3})
    copies, _ = read(consumer, 3)
    assert sorted((r.key, r.value) for r in copies) == sorted((r.key, r.value) for r in bad)
    assert min(r.timestamp for r in copies) > now  # an old one could be older than the topic's retention
    assert {dict(r.headers)["sg_replayed_from"].decode() for r in copies} == {x.position for x in letters}


def test_a_copy_whose_second_mark_was_lost_is_found(log_backend: LogBackend) -> None:
    source, topic = log_backend.create_topic(), log_backend.create_topic()
    producer, consumer = log_backend.producer(), log_backend.consumer()
    producer.deliver([Outgoing(source, b"key", json.dumps(good(1)).encode())])
    consumer.assign({place.partition: 0 for place in producer.deliver([Outgoing(source, b"key", b"{}")])})
    records, _ = read(consumer, 2)
    producer.deliver([dead_letter(topic, "site/one", Refused(records[0], "missing-field", "power"))])
    (letter,) = read_letters(consumer, topic)
    mark = (("sg_position", letter.position.encode()), ("sg_replay_digest", letter.digest.encode()))
    producer.deliver([Outgoing(topic, letter.position.encode(), b"", (*mark, ("sg_replay_from", b"2")))])
    copy = (("sg_replayed_from", letter.position.encode()), ("sg_replay_digest", letter.digest.encode()))
    producer.deliver([Outgoing(source, letter.key, letter.value, copy)])
    done = replay(read_letters(consumer, topic), Judge(plant_profile(), 3600.0), consumer, producer, topic)
    assert [at for _, at in done.sent] == [f"{source}:0:2"]
    assert consumer.end(letter.source) == 3
