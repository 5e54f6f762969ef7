"""The commands `list`, `show` and `replay`; they read the settings of the site's edge node."""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.dead_letters.letters import REMEDIES, Letter, read_letters
from services.dead_letters.replay import Judge, replay
from services.runtime.errors import ServiceError
from services.runtime.kafka import open_consumer, open_producer
from services.runtime.lifecycle import EXIT_CONFIGURATION
from services.runtime.log import Consumer, Producer
from services.runtime.settings import load_site
from services.runtime.topics import Topics
from streamgauge.errors import StreamgaugeError
from streamgauge.profiles.profile import load_profile

SHOWN_BYTES = 4000
Say = Callable[[str], None]


@dataclass(frozen=True)
class Choice:
    """Which letters are meant: all of a reason, a topic, a position; None: any."""

    reason: str | None = None
    topic: str | None = None
    position: str | None = None

    def of(self, letters: Sequence[Letter]) -> list[Letter]:
        """Those that are meant. A crashed record only where its reason or position is given."""
        return [
            letter
            for letter in letters
            if self.reason in (None, letter.reason)
            and self.topic in (None, letter.source.topic)
            and self.position in (None, letter.position)
            and (letter.reason != "crashed" or self.reason or self.position)
        ]


def list_letters(letters: Sequence[Letter], newest: int, say: Say) -> int:
    """Counts and remedies by reason, then the newest ones."""
    waiting = [letter for letter in letters if not letter.replayed]
    say(f"{len(letters)} records set aside, {len(letters) - len(waiting)} of them sent again since")
    for reason, n in Counter(letter.reason for letter in waiting).most_common():
        say(f"{n:8}  {reason}: {REMEDIES.get(reason, 'no reason that this version knows')}")
        first = next(letter for letter in waiting if letter.reason == reason)
        say(f"          e.g. {first.position}: {first.detail}")
    if waiting and newest:
        say(f"the newest {min(newest, len(waiting))}:")
    for letter in waiting[-newest:] if newest else ():
        say(f"  {letter.position}  {letter.reason}: {letter.detail}")
    return 0


def show_letter(letters: Sequence[Letter], judge: Judge | None, position: str, say: Say) -> int:
    """Everything about the letters of one position; 1 if there is none."""
    found = [letter for letter in letters if letter.position == position]
    if not found:
        say(f"no dead letter of {position}; `streamgauge dead-letters list` names them")
        return 1
    for letter in found:
        say(f"{letter.position}, set aside by {letter.node}, {letter.copies} times")
        say(f"reason    {letter.reason}: {REMEDIES.get(letter.reason, 'no reason that this version knows')}")
        say(f"detail    {letter.detail}")
        if letter.replayed:
            say(f"sent as   {letter.replayed}")
        if judge is not None:
            say(
                f"now       {judge.why_not(letter) or 'the profile accepts it: `streamgauge dead-letters replay`'}"
            )
        say(f"key       {_text(letter.key)}")
        say(f"value     {_text(letter.value)}")
    return 0


def replay_letters(
    letters: Sequence[Letter], judge: Judge, clients: tuple[Consumer, Producer], topic: str, say: Say
) -> int:
    """Send again what is accepted now, say what stays; 1 if anything does."""
    done = replay(letters, judge, *clients, topic)
    say(f"{len(done.sent)} sent again, {len(done.kept)} stay, {len(done.before)} were sent again before")
    for why, n in Counter(why for _, why in done.kept).most_common(20):
        first = next(letter for letter, reason in done.kept if reason == why)
        say(f"{n:8}  {why}; e.g. {first.position}")
    return 1 if done.kept else 0


def _text(data: bytes | None) -> str:
    if data is None:
        return "null"
    text = data[:SHOWN_BYTES].decode("utf-8", "backslashreplace")
    shown = text if text.isprintable() else json.dumps(text, ensure_ascii=False)
    return f"{shown} ... ({len(data)} bytes)" if len(data) > SHOWN_BYTES else shown


def main(command: str, choice: Choice, newest: int = 20, profile: str | None = None) -> int:
    """Run `list`, `show` or `replay` with the settings in the environment; returns the exit code."""
    stop = threading.Event()
    try:
        site = load_site()
        topic = Topics(site.topic_prefix).dead_letters
        name = profile or site.profile
        others = {topic: load_profile(other) for topic, other in site.profiles.items()}
        judge = Judge(load_profile(name), site.learn_labels, others) if name else None
        if command == "replay" and judge is None:
            print("which profile? set STREAMGAUGE_EDGE_PROFILE or give --profile", file=sys.stderr)
            return EXIT_CONFIGURATION
        consumer = open_consumer(site.records, client_id="dead-letters", stop=stop)
        try:
            letters = read_letters(consumer, topic)
            if command == "list":
                return list_letters(choice.of(letters) if choice != Choice() else letters, newest, print)
            if command == "show":
                return show_letter(letters, judge, choice.position or "", print)
            assert judge is not None
            producer = open_producer(site.records, client_id="dead-letters", stop=stop)
            try:
                return replay_letters(choice.of(letters), judge, (consumer, producer), topic, print)
            finally:
                producer.close()
        finally:
            consumer.close()
    except (ServiceError, StreamgaugeError) as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIGURATION
