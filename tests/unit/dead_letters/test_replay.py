"""Dead letters: listed once, explained, sent again once the profile accepts them, and never twice."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from services.dead_letters.command import Choice, list_letters, replay_letters, show_letter
from services.dead_letters.letters import REMEDIES, Letter, read_letters
from services.dead_letters.replay import Judge, replay
from services.edge_node.dead_letters import Refused, dead_letter
from services.runtime.errors import TopicError
from services.runtime.log import Outgoing, Producer, Sent
from services.runtime.memory import MemoryBroker
from streamgauge.profiles.columnar import CONTENT_TYPE
from streamgauge.profiles.profile import Profile, parse_profile
from tests.support.edge import MemoryClients, at_end, edge_settings, memory_broker, run_until
from tests.support.plant import PROFILE, START_S
from tests.unit.docs.pages import rows
from tests.unit.edge_node.kit import good, raw, send

TOPIC = "streamgauge.dead-letters"
MENDED = PROFILE.replace('field = "power"', 'field = "kilowatts"\nname = "power"')
"""The source has renamed a field."""
MAX_AHEAD_S = 3600.0


def renamed(i: int) -> bytes:
    record = good(i)
    record["kilowatts"] = record.pop("power")
    return json.dumps(record).encode()


def letters(broker: MemoryBroker) -> list[Letter]:
    return read_letters(broker.consumer(None), TOPIC)


def again(broker: MemoryBroker, profile: str = MENDED, producer: Producer | None = None) -> Any:
    chosen = Choice().of(letters(broker))
    return replay(chosen, judge(profile), broker.consumer(None), producer or broker.producer(), TOPIC)


def judge(profile: str) -> Judge:
    return Judge(parsed(profile), MAX_AHEAD_S)


def parsed(profile: str) -> Profile:
    return parse_profile(profile, "plant")


@pytest.fixture
def broker(tmp_path: Path) -> MemoryBroker:
    """After a node without a model has read: records 1, 3 and 4 stand among the dead letters, 3 is no JSON."""
    broker = memory_broker("records", 2)
    broken = raw(b"{", None)
    send(broker, good(0), raw(renamed(1), b"the key"), good(2), broken, raw(renamed(4)), good(5))
    read(broker, tmp_path, PROFILE)
    return broker


def read(broker: MemoryBroker, directory: Path, profile: str) -> None:
    path = directory / "profile.toml"
    path.write_text(profile)
    from tests.support.plant import plant_profile, trained_bundle

    bundle = directory / "bundle.safetensors"
    trained_bundle("autoencoder", plant_profile().schema, records=1000).save(bundle)
    settings = edge_settings(directory / "state", path, pinned_bundle=bundle)
    run_until(settings, MemoryClients(broker), at_end)


def test_the_whole_way(broker: MemoryBroker, tmp_path: Path) -> None:
    assert [(x.position, x.reason) for x in letters(broker)] == [
        ("records:0:1", "missing-field"),
        ("records:0:3", "malformed-json"),
        ("records:0:4", "missing-field"),
    ]
    assert again(broker, PROFILE).sent == []  # not mended: nothing is sent
    done = again(broker)
    assert [(x.position, at) for x, at in done.sent] == [
        ("records:0:1", "records:0:6"),
        ("records:0:4", "records:0:7"),
    ]
    assert [(x.position, why.partition(":")[0]) for x, why in done.kept] == [("records:0:3", "malformed-json")]
    first = broker.records("records")[6]
    assert (first.key, first.value, first.partition) == (b"the key", renamed(1), 0)
    assert dict(first.headers)["sg_replayed_from"] == b"records:0:1"
    read(broker, tmp_path, MENDED)
    assert len(letters(broker)) == 3  # what was sent again was accepted
    twice = again(broker)
    assert (twice.sent, len(twice.before)) == ([], 2)


class Breaking(Producer):
    """A producer whose process ends after so many calls; the last call's records are sent, or not."""

    def __init__(self, inner: Producer, calls: int, sends: bool) -> None:
        self._inner, self._left, self._sends = inner, calls, sends

    @override
    def prepare(self, topics: Iterable[str]) -> None:
        self._inner.prepare(topics)

    @override
    def deliver(self, records: Sequence[Outgoing]) -> list[Sent]:
        self._left -= 1
        if self._left or self._sends:
            sent = self._inner.deliver(records)
        if not self._left:
            raise KeyboardInterrupt
        return sent

    @override
    def close(self) -> None:
        self._inner.close()


@pytest.mark.parametrize("calls", range(1, 5))
@pytest.mark.parametrize("sends", [True, False])
def test_broken_off_anywhere_each_record_is_sent_once(broker: MemoryBroker, calls: int, sends: bool) -> None:
    with pytest.raises(KeyboardInterrupt):
        again(broker, producer=Breaking(broker.producer(), calls, sends))
    done = again(broker)
    assert {x.position for x, _ in done.sent} | {x.position for x in done.before} == {"records:0:1", "records:0:4"}
    copies = [dict(r.headers).get("sg_replayed_from") for r in broker.records("records")[6:]]
    assert sorted(filter(None, copies)) == [b"records:0:1", b"records:0:4"]
    assert again(broker).sent == []


def test_a_letter_that_came_twice_counts_once_and_another_record_at_its_position_by_itself(
    broker: MemoryBroker,
) -> None:
    record = broker.records("records")[1]
    broker.producer().deliver([dead_letter(TOPIC, "site/two", Refused(record, "missing-field", "again"))])
    assert [x.copies for x in letters(broker)] == [2, 1, 1]
    (other,) = [r for r in broker.records("records") if r.offset == 3]
    letter = dead_letter(TOPIC, "site/one", Refused(other, "wrong-type", "of a topic made again"))
    moved = Outgoing(TOPIC, b"records:0:1", b"[]", (("sg_position", b"records:0:1"), *letter.headers[1:]))
    broker.producer().deliver([moved])
    assert [x.position for x in letters(broker)].count("records:0:1") == 2


def test_what_cannot_be_sent_again_says_why(broker: MemoryBroker) -> None:
    send(broker, raw(renamed(7) + b" " * 70_000, b"k"), raw(None, b"k"))
    records = broker.records("records")[6:]
    broker.producer().deliver([dead_letter(TOPIC, "site/one", Refused(r, "too-large", "x")) for r in records])
    gone = Outgoing(
        TOPIC, b"gone:0:1", renamed(1), (("sg_position", b"gone:0:1"), ("sg_reason", b"missing-field"))
    )
    crashed = dead_letter(TOPIC, "site/one", Refused(broker.records("records")[0], "crashed", "x"))
    broker.producer().deliver([gone, crashed])
    kept = {x.position: why for x, why in again(broker).kept}
    assert kept["records:0:6"] == "only its beginning was kept"
    assert kept["records:0:7"] == "it has no value"
    assert kept["gone:0:1"] == "gone:0 does not exist any more"
    assert "records:0:0" not in kept
    assert [x.position for x in Choice(reason="crashed").of(letters(broker))] == ["records:0:0"]


def test_a_row_of_an_arrow_stream_goes_out_as_a_message_and_a_whole_stream_does_not(broker: MemoryBroker) -> None:
    stream = Outgoing("records", b"k", b"ARROW1", (("content-type", CONTENT_TYPE),), 0)
    broker.producer().deliver([stream])
    record = broker.records("records")[6]
    row = Refused(record, "missing-field", "power", 2, renamed(9))
    broker.producer().deliver([dead_letter(TOPIC, "site/one", r) for r in (row, Refused(record, "crashed", "x"))])
    chosen = [x for x in letters(broker) if x.offset == 6]
    assert sorted(x.position for x in chosen) == ["records:0:6", "records:0:6:2"]
    done = replay(chosen, judge(MENDED), broker.consumer(None), broker.producer(), TOPIC)
    assert [(x.position, at) for x, at in done.sent] == [("records:0:6:2", "records:0:7")]
    assert [why for _, why in done.kept] == ["a whole Arrow stream: its source must send it again"]
    assert broker.records("records")[7].value == renamed(9)


def test_topics_may_have_profiles_of_their_own(broker: MemoryBroker) -> None:
    by_topic = Judge(parsed(PROFILE), MAX_AHEAD_S, others={"records": parsed(MENDED)})
    assert len(replay(letters(broker), by_topic, broker.consumer(None), broker.producer(), TOPIC).sent) == 2


def test_the_commands_explain(broker: MemoryBroker) -> None:
    said: list[str] = []
    assert list_letters(letters(broker), 1, said.append) == 0
    text = "\n".join(said)
    assert "3 records set aside, 0 of them sent again" in text
    assert "2  missing-field: give the field a rule" in text
    assert "e.g. records:0:1: 'power' is missing" in text
    said.clear()
    assert show_letter(letters(broker), judge(MENDED), "records:0:1", said.append) == 0
    assert "a node accepts it" in "\n".join(said)
    assert "kilowatts" in "\n".join(said)
    assert show_letter(letters(broker), None, "records:9:9", said.append) == 1
    said.clear()
    clients = broker.consumer(None), broker.producer()
    assert replay_letters(Choice(), judge(MENDED), clients, TOPIC, said.append) == 1
    assert said[0] == "2 sent again, 1 stay, 0 were sent again before"
    assert "e.g. records:0:3" in said[1]


def test_a_copy_keeps_the_timestamp_only_where_it_is_the_time(broker: MemoryBroker) -> None:
    by_message = MENDED.replace('field = "time"\nformat = "unix_s"', 'source = "message"')
    old = [Outgoing("records", b"k", renamed(i), (), 0, 1_750_000_000_000) for i in (6, 7)]
    broker.producer().deliver(old)
    late = broker.records("records")[6:]
    broker.producer().deliver([dead_letter(TOPIC, "site/one", Refused(r, "missing-field", "x")) for r in late])
    chosen = [x for x in letters(broker) if x.offset in (6, 7)]
    for profile, letter in ((by_message, chosen[0]), (MENDED, chosen[1])):
        replay([letter], judge(profile), broker.consumer(None), broker.producer(), TOPIC)
    kept, new = broker.records("records")[-2:]
    assert (kept.timestamp == 1_750_000_000_000, new.timestamp > 1_750_000_000_000) == (True, True)


def test_what_a_node_would_refuse_again_for_its_time_is_not_sent(broker: MemoryBroker, tmp_path: Path) -> None:
    now = time.time()
    ahead = json.dumps(good(6, time=now + 2.4 * 3600)).encode()
    past = Outgoing("records", b"k", json.dumps(good(7)).encode(), (), 0, int(START_S - 4000) * 1000)
    send(broker, raw(ahead), past)
    read(broker, tmp_path, PROFILE)
    chosen = [x for x in letters(broker) if x.offset in (6, 7)]
    assert [x.reason for x in chosen] == ["bad-time", "bad-time"]
    said: list[str] = []
    show_letter(chosen, judge(PROFILE), "records:0:6", said.append)
    assert "after the message's own timestamp; allowed: 3600" in next(x for x in said if x.startswith("now "))
    assert outcome(broker, now) == ([7], [6])  # the one that is long past is not ahead of its copy
    assert outcome(broker, now) == ([], [6])
    assert outcome(broker, now + 1.5 * 3600) == ([6], [])


def outcome(broker: MemoryBroker, now: float) -> tuple[list[int], list[int]]:
    """Offsets of the letters of bad times that a replay of that time sends, and of those that stay."""
    chosen = [x for x in letters(broker) if x.reason == "bad-time"]
    judge_then = Judge(parsed(PROFILE), MAX_AHEAD_S, clock=lambda: now)
    done = replay(chosen, judge_then, broker.consumer(None), broker.producer(), TOPIC)
    return [x.offset for x, _ in done.sent], [x.offset for x, _ in done.kept]


def test_every_reason_has_a_remedy() -> None:
    told = {
        code.strip("` ") for row in rows("docs/operations/dead-letters.md", "reason") for code in row[0].split(",")
    }
    assert set(REMEDIES) == told


def test_a_wrong_prefix_is_an_error() -> None:
    with pytest.raises(TopicError, match="topic_prefix"):
        read_letters(MemoryBroker().consumer(None), TOPIC)
