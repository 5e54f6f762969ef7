"""Sending dead letters again once the profile is mended: each record once, whatever breaks off (ADR 045)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as changed

from services.dead_letters.letters import Letter, between
from services.runtime.log import Consumer, Outgoing, Partition, Producer
from streamgauge.profiles.decoder import Decoder, Rejected
from streamgauge.profiles.profile import Profile
from streamgauge.profiles.tags import TagDecoder

CHUNK = 200
"""Letters sent again between two marks."""


class Judge:
    """Says whether a node with these profiles and settings would accept a letter's copy now.

    Args:
        profile: of all topics but those of `others`.
        max_ahead_s: as of the node: how far a record may be dated after its message's own timestamp.
        learn_labels: as of the node.
        others: by topic.
        clock: seconds since the epoch; dates copies that get a new timestamp.
    """

    def __init__(
        self,
        profile: Profile,
        max_ahead_s: float,
        learn_labels: bool = False,
        others: Mapping[str, Profile] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        def decoder(each: Profile) -> Decoder:
            kind = TagDecoder if each.long else Decoder
            return kind(each, learn_labels=learn_labels, max_ahead_s=max_ahead_s)

        self._default = decoder(profile)
        self._others = {topic: decoder(other) for topic, other in (others or {}).items()}
        self._clock = clock

    def _of(self, letter: Letter) -> Decoder:
        return self._others.get(letter.source.topic, self._default)

    def keeps_timestamp(self, letter: Letter) -> bool:
        """Whether a copy needs the record's own timestamp, because that is its event time.

        Else it has a new one: by an old one a broker may delete it at once, as older than the topic's retention.
        """
        return self._of(letter).profile.time.field is None

    def why_not(self, letter: Letter) -> str | None:
        """Why it cannot be sent again, or would be set aside again; None if nothing is in the way."""
        if letter.cut:
            return "only its beginning was kept"
        if letter.value is None:
            return "it has no value"
        if letter.columnar:
            return "a whole Arrow stream: its source must send it again"
        decoder = self._of(letter)
        # A node holds the record's time against the timestamp of what it reads, which is the copy.
        copy = letter if self.keeps_timestamp(letter) else changed(letter, timestamp=int(self._clock() * 1000))
        rejected: list[Rejected] = (
            decoder.decode_tags([copy]).rejected
            if isinstance(decoder, TagDecoder)
            else decoder.decode([copy]).rejected
        )
        return f"{rejected[0].reason}: {rejected[0].detail}" if rejected else None


@dataclass(frozen=True)
class Replayed:
    """What a replay did.

    Attributes:
        sent: letters and the position of each copy; a copy found from a replay that was broken off counts too.
        kept: letters that stay, each with its reason.
        before: letters that were sent again before.
    """

    sent: list[tuple[Letter, str]]
    kept: list[tuple[Letter, str]]
    before: list[Letter]


def replay(
    letters: Sequence[Letter],
    judge: Judge,
    consumer: Consumer,
    producer: Producer,
    topic: str,
    hold: Callable[[], None] = lambda: None,
) -> Replayed:
    """Send what a node would accept now to where it came from, each record once, even if a replay is broken off.

    A mark with the end of the source partition goes before each copy, another with the copy's position after it. A
    letter with the first mark only may have been sent: its copy is looked for from that offset on.

    Args:
        letters: chosen ones, as `read_letters` gave them.
        judge: of the profile as it is now.
        consumer, producer: of the records cluster.
        topic: of the dead letters, for the marks.
        hold: called before copies are looked for or sent; raises where another may replay (`Claim.hold`).
    """
    before = [letter for letter in letters if letter.replayed]
    kept, chosen = [], []
    for letter in letters:
        if letter.replayed:
            continue
        why = judge.why_not(letter)
        if why is None and letter.source not in consumer.partitions(letter.source.topic):
            why = f"{letter.source} does not exist any more"
        if why is None:
            chosen.append(letter)
        else:
            kept.append((letter, why))
    sent = _found(consumer, [letter for letter in chosen if letter.begun is not None], hold)
    producer.deliver([_done(topic, letter, position) for letter, position in sent])
    known = {(letter.position, letter.digest) for letter, _ in sent}
    rest = [letter for letter in chosen if (letter.position, letter.digest) not in known]
    for start in range(0, len(rest), CHUNK):
        part = rest[start : start + CHUNK]
        hold()
        ends = {p: consumer.end(p) for p in {letter.source for letter in part}}
        producer.deliver([_begun(topic, letter, ends[letter.source]) for letter in part if letter.begun is None])
        hold()
        places = producer.deliver([_copy(letter, judge.keeps_timestamp(letter)) for letter in part])
        done = [(letter, f"{at.partition}:{at.offset}") for letter, at in zip(part, places, strict=True)]
        producer.deliver([_done(topic, letter, position) for letter, position in done])
        sent += done
    return Replayed(sent, kept, before)


def _found(consumer: Consumer, begun: Sequence[Letter], hold: Callable[[], None]) -> list[tuple[Letter, str]]:
    """Of letters whose sending was begun, those whose copy is in the log."""
    starts: dict[Partition, int] = {}
    for letter in begun:
        starts[letter.source] = min(starts.get(letter.source, letter.begun or 0), letter.begun or 0)
    wanted = {(letter.position, letter.digest): letter for letter in begun}
    found = {}
    for record in between(consumer, {p: max(at, consumer.beginning(p)) for p, at in starts.items()}):
        hold()
        headers = dict(record.headers)
        key = headers.get("sg_replayed_from", b"").decode(), headers.get("sg_replay_digest", b"").decode()
        if key in wanted:
            found[key] = (wanted[key], f"{record.topic}:{record.partition}:{record.offset}")
    return list(found.values())


def _copy(letter: Letter, keeps_timestamp: bool) -> Outgoing:
    headers = (("sg_replayed_from", letter.position.encode()), ("sg_replay_digest", letter.digest.encode()))
    timestamp = letter.timestamp if keeps_timestamp and letter.timestamp >= 0 else None
    return Outgoing(letter.source.topic, letter.key, letter.value, headers, letter.source.partition, timestamp)


def _begun(topic: str, letter: Letter, end: int) -> Outgoing:
    return _marked(topic, letter, ("sg_replay_from", str(end).encode()))


def _done(topic: str, letter: Letter, position: str) -> Outgoing:
    return _marked(topic, letter, ("sg_replayed_as", position.encode()))


def _marked(topic: str, letter: Letter, what: tuple[str, bytes]) -> Outgoing:
    position = letter.position.encode()
    headers = (("sg_position", position), ("sg_replay_digest", letter.digest.encode()), what)
    return Outgoing(topic, position, b"", headers)
