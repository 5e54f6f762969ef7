"""The commands `list`, `show` and `replay`; they read the settings of the site's edge node."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from services.dead_letters.claim import claimed
from services.dead_letters.letters import REMEDIES, Letter, read_letters
from services.dead_letters.replay import Judge, replay
from services.runtime.errors import SettingsError
from services.runtime.kafka import open_consumer, open_producer
from services.runtime.lifecycle import EXIT_FOUND, run_command
from services.runtime.log import Consumer, Producer
from services.runtime.settings import load_site
from services.runtime.topics import Topics
from streamgauge.profiles.profile import load_profile

SHOWN_BYTES = 4000
Say = Callable[[str], None]


@dataclass(frozen=True)
class Choice:
    """Which letters are meant: all of a reason, a topic, a position; None: any."""

    reason: str | None = None
    topic: str | None = None
    position: str | None = None

    def check(self, letters: Sequence[Letter]) -> None:
        """Refuse what cannot be meant.

        Raises:
            SettingsError: no such reason or topic; names those there are. Or a position of another form.
        """
        reasons = {*REMEDIES, *(letter.reason for letter in letters)}
        if self.reason is not None and self.reason not in reasons:
            raise SettingsError(f"--reason {self.reason}: no such reason; known: {', '.join(sorted(reasons))}")
        topics = {letter.source.topic for letter in letters}
        if self.topic is not None and self.topic not in topics:
            raise SettingsError(
                f"--topic {self.topic}: no dead letter came from there; those there are came from "
                f"{', '.join(sorted(topics)) or 'nowhere: there are none'}"
            )
        if self.position is not None and not re.fullmatch(r".+:\d+:\d+(:\d+)?", self.position):
            raise SettingsError(
                f"position {self.position!r}: write topic:partition:offset, with :row for one of many records, as "
                "`streamgauge dead-letters list` names them"
            )

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
        return EXIT_FOUND
    for letter in found:
        say(f"{letter.position}, set aside by {letter.node}, {letter.copies} times")
        say(f"reason    {letter.reason}: {REMEDIES.get(letter.reason, 'no reason that this version knows')}")
        say(f"detail    {letter.detail}")
        if letter.replayed:
            say(f"sent as   {letter.replayed}")
        if judge is not None:
            say(f"now       {judge.why_not(letter) or 'a node accepts it: `streamgauge dead-letters replay`'}")
        say(f"key       {_text(letter.key)}")
        say(f"value     {_text(letter.value)}")
    return 0


def replay_letters(choice: Choice, judge: Judge, clients: tuple[Consumer, Producer], topic: str, say: Say) -> int:
    """Send again what is chosen and accepted now, say what stays; 1 if anything does.

    Raises:
        ReplayBusyError: another replay is at work.
        SettingsError: the choice cannot be meant.
    """
    consumer, producer = clients
    with claimed(consumer, producer, topic, say) as hold:
        letters = read_letters(consumer, topic, hold)  # only now: one before may have sent some of them
        choice.check(letters)
        chosen = choice.of(letters)
        if choice.position is not None and not chosen:
            say(f"no dead letter of {choice.position}; `streamgauge dead-letters list` names them")
            return EXIT_FOUND
        done = replay(chosen, judge, consumer, producer, topic, hold)
    say(f"{len(done.sent)} sent again, {len(done.kept)} stay, {len(done.before)} were sent again before")
    for why, n in Counter(why for _, why in done.kept).most_common(20):
        first = next(letter for letter, reason in done.kept if reason == why)
        say(f"{n:8}  {why}; e.g. {first.position}")
    return EXIT_FOUND if done.kept else 0


def _text(data: bytes | None) -> str:
    if data is None:
        return "null"
    text = data[:SHOWN_BYTES].decode("utf-8", "backslashreplace")
    shown = text if text.isprintable() else json.dumps(text, ensure_ascii=False)
    return f"{shown} ... ({len(data)} bytes)" if len(data) > SHOWN_BYTES else shown


def main(
    command: str, choice: Choice, newest: int = 20, profile: str | None = None, servers: str | None = None
) -> int:
    """Run `list`, `show` or `replay` with the settings in the environment; returns the exit code."""
    return run_command(lambda: _run(command, choice, newest, profile, servers))


def _run(command: str, choice: Choice, newest: int, profile: str | None, servers: str | None) -> int:
    stop = threading.Event()
    site = load_site(servers)
    topic = Topics(site.topic_prefix).dead_letters
    name = profile or site.profile
    others = {topic: load_profile(other) for topic, other in site.profiles.items()}
    judge = Judge(load_profile(name), site.max_ahead_s, site.learn_labels, others) if name else None
    with closing(open_consumer(site.records, client_id="dead-letters", stop=stop)) as consumer:
        if command == "replay":
            if judge is None:
                raise SettingsError("which profile? set STREAMGAUGE_EDGE_PROFILE or give --profile")
            with closing(open_producer(site.records, client_id="dead-letters", stop=stop)) as producer:
                return replay_letters(choice, judge, (consumer, producer), topic, print)
        letters = read_letters(consumer, topic)
        choice.check(letters)
        if command == "show":
            return show_letter(letters, judge, choice.position or "", print)
        return list_letters(choice.of(letters) if choice != Choice() else letters, newest, print)
