"""The loop on the in-memory broker and a clock of the test's own: pacing, progress, position, bursts."""

from __future__ import annotations

import io
import json
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.replay.faults import Faults
from services.replay.loop import Ledger, Replay, Reporter
from services.replay.main import SAMPLE, inputs_of, make_source, pace
from services.replay.messages import Composer, Messages
from services.replay.metrics import ReplayMetrics
from services.replay.options import ReplayOptions
from services.replay.pacing import Pacer
from services.replay.position import Position, PositionFile
from services.replay.progress import JsonLines
from services.replay.senders import DeliveringSender
from services.replay.share import Extent, Passed
from services.runtime.memory import MemoryBroker
from streamgauge.errors import ConfigurationError
from streamgauge.profiles.decoder import Decoder
from streamgauge.profiles.profile import load_profile
from tests.support.dataset_files import SKAB_RUN
from tests.support.replayed import NOW_S, options_of

BURSTS: dict[str, Any] = {"sites": "site-a=50,site-b=30,site-c=20", "bursts": "normal=1000", "times": "now-5d"}


class Clock:
    """Goes on by `step_s` at every look."""

    def __init__(self, step_s: float) -> None:
        self.now, self.step_s = 0.0, step_s

    def __call__(self) -> float:
        self.now += self.step_s
        return self.now


class Ran:
    """A replay from the beginning, or from the position in a file, to its end or its stop."""

    def __init__(
        self,
        options: ReplayOptions,
        folder: Path,
        *,
        broker: MemoryBroker | None = None,
        file: PositionFile | None = None,
        stop_after: int | None = None,
    ) -> None:
        profile, stop, clock = load_profile(options.profile), threading.Event(), Clock(0.1)
        self.broker = broker or MemoryBroker()
        for site in options.sites:
            if options.topic_of(site) not in self.broker.topics:
                self.broker.create_topic(options.topic_of(site), 2)
        begin = file.read() if file else Position()
        inputs, passed = inputs_of(options.files, profile, folder), Passed()
        source = make_source(options, profile, inputs, NOW_S, passed)
        share = Extent(sum(each.size_bytes for each in inputs), options, passed).share
        self.metrics, out = ReplayMetrics(), io.StringIO()
        sender = _Stopping(DeliveringSender(self.broker.producer()), stop, stop_after)
        reporter = Reporter(JsonLines(out, {"port": 1}), self.metrics, clock, share, file, begin.row)
        rate, speed = pace(options, profile)
        replay = Replay(
            source,
            Composer(options, profile, [2] * len(options.sites)),
            Faults(options.faults, options.seed, profile),
            sender,
            Pacer(rate, speed, clock()),
            Ledger(options.sites, self.metrics),
            130,
        )
        self.done = replay.run(stop, reporter, begin)
        self.lines = [json.loads(line) for line in out.getvalue().splitlines()]


class _Stopping:
    """Asks for the stop after so many messages."""

    def __init__(self, sender: DeliveringSender, stop: threading.Event, after: int | None) -> None:
        self._sender, self._stop, self._left = sender, stop, after

    def send(self, messages: Messages, low: int, high: int) -> None:
        self._sender.send(messages, low, high)
        if self._left is not None:
            self._left -= high - low
            if self._left <= 0:
                self._stop.set()

    def flush(self) -> None: ...
    def close(self) -> None: ...


def test_bursts_sites_get_their_shares_and_the_truth_in_a_header(tmp_path: Path) -> None:
    ran = Ran(options_of("nsl-kdd", [SAMPLE], stop_row=3000, unpaced=True, **BURSTS), tmp_path)
    profile, attacks = load_profile("nsl-kdd"), {}
    for site, share in (("site-a", 1500), ("site-b", 900), ("site-c", 600)):
        records = ran.broker.records(f"{site}.records")
        assert len(records) == share
        decoded = Decoder(profile, learn_labels=True).decode(records)
        assert decoded.rejected == []
        assert set(decoded.labels.astype(str)) == {"nan"}, "the label is not sent unless asked for"
        assert [r.key.decode() if r.key else "" for r in records] == decoded.entities
        truths = [json.loads(dict(r.headers)["sg_truth"]) for r in records]
        attacks[site] = sum(truth["attack"] for truth in truths)
        assert attacks[site] == ran.metrics.attacks.labels(site)._value.get()
        assert len({(r.key, r.partition) for r in records}) == len({r.key for r in records})
        times = np.array(sorted(r.timestamp for r in records)) / 1000
        assert times[0] < NOW_S - 5 * 86_400 + 10
        assert (np.diff(times) > 0).all()
    assert ran.lines[-1]["phase"] == "done"
    assert ran.lines[-1]["sent"] == {"site-a": 1500, "site-b": 900, "site-c": 600}
    assert ran.lines[-1]["attacks"] == attacks
    assert sum(attacks.values()) == 100
    assert {line["phase"] for line in ran.lines} >= {"normal", "burst"}
    assert all(line["port"] == 1 for line in ran.lines)


def test_bursts_need_normal_records_and_the_attacks_they_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "valve.csv"
    path.write_bytes(SKAB_RUN.replace(b";1.0;1.0", b";0.0;0.0"))
    with pytest.raises(ConfigurationError, match="every record is normal, but --bursts asks for 5% attacks"):
        Ran(options_of("skab", [path], topic="t", bursts="default"), tmp_path)
    path.write_bytes(SKAB_RUN.replace(b";0.0;0.0", b";1.0;1.0"))
    with pytest.raises(ConfigurationError, match="there are none"):
        Ran(options_of("skab", [path], topic="t", bursts="share=0"), tmp_path)


def test_the_same_seed_sends_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    def sent(seed: int) -> list[bytes | None]:
        options = options_of("nsl-kdd", [SAMPLE], stop_row=1500, unpaced=True, seed=seed, **BURSTS)
        return [r.value for r in Ran(options, tmp_path).broker.records("site-b.records")]

    assert sent(0) == sent(0)
    assert sent(0) != sent(1)


def test_after_a_stop_it_goes_on_where_it_was_and_nothing_is_lost(tmp_path: Path) -> None:
    path, state = tmp_path / "valve.csv", tmp_path / "position.json"
    header, first, _ = SKAB_RUN.split(b"\r\n", 2)
    rows = [first.replace(b"10:14:33", b"10:%02d:%02d" % divmod(s, 60)) for s in range(1000)]
    path.write_bytes(b"\n".join([header, *rows, b""]))
    options = options_of("skab", [path], topic="t", unpaced=True, faults=("late:0.05:20s",))
    whole = {r.value for r in Ran(options, tmp_path).broker.records("t")}
    assert len(whole) == 1000
    broker, runs = MemoryBroker(), 0
    while True:
        ran = Ran(options, tmp_path, broker=broker, file=PositionFile(state, "x"), stop_after=300)
        runs += 1
        if ran.done:
            break
        assert json.loads(state.read_text())["position"]["row"] > 0
        assert 0.2 < ran.lines[-1]["share"] < 0.95, "of what is sent, not of what was read in advance"
    assert runs > 2
    assert PositionFile(state, "x").all_sent()
    records = broker.records("t")
    assert {r.value for r in records} == whole
    assert len(records) < 1150, "a few held back ones may come twice"
    assert (ran.lines[-1]["share"], ran.lines[-1]["left_s"]) == (1.0, 0.0)
    newest = max(r.timestamp for r in records) / 1000
    assert datetime.fromisoformat(ran.lines[-1]["event_time"]).timestamp() == newest, (
        "of a record, not of its delay"
    )


def test_the_share_is_that_of_the_rows_sent(tmp_path: Path) -> None:
    path = tmp_path / "valve.csv"
    header, first, _ = SKAB_RUN.split(b"\r\n", 2)
    path.write_bytes(b"\n".join([header, *[first] * 8000, b""]))
    options = options_of("skab", [path], topic="t", rate="200/s")
    ran = Ran(options, tmp_path, stop_after=205)
    sent = ran.lines[-1]["sent"]["site-1"]
    assert 205 <= sent < 300
    assert ran.lines[-1]["share"] == pytest.approx(sent / 8000, abs=1e-4)
    looped = Extent(1000, options_of("skab", [path], topic="t", loops=2, start_row=10), Passed(500, 55))
    assert looped.share(50) == pytest.approx(50 / 200), "half of the bytes held 55 rows, so a loop sends 100"
    assert Extent(1000, options, Passed()).share(50) is None


def test_what_is_read_ahead_of_a_stop_is_sent_when_it_goes_on(tmp_path: Path) -> None:
    """Each of 40 loops over a file is a chunk of its own, and some records are held back over several of them."""
    path, state = tmp_path / "valve.csv", tmp_path / "position.json"
    header, first, _ = SKAB_RUN.split(b"\r\n", 2)
    path.write_bytes(b"\n".join([header, *(first.replace(b"14:33", b"14:%02d" % s) for s in range(30)), b""]))
    options = options_of("skab", [path], topic="t", unpaced=True, loops=40, faults=("late:0.1:70s",))
    whole = {r.value for r in Ran(options, tmp_path).broker.records("t")}
    assert len(whole) == 1200
    broker, runs = MemoryBroker(), 0
    while runs < 30:
        ran = Ran(options, tmp_path, broker=broker, file=PositionFile(state, "x"), stop_after=150)
        runs += 1
        if ran.done:
            break
    assert ran.done
    assert runs > 4
    assert {r.value for r in broker.records("t")} == whole


def messages(n: int, seconds: float = 1.0) -> Messages:
    whole = np.arange(n)
    due = 1000.0 + seconds * whole.astype(np.float64)
    return Messages(
        ["t"] * n, [b"k"] * n, [b"v"] * n, [()] * n, [0] * n, [0] * n,
        whole * 0, due, whole, np.ones(n, np.int64), whole * 0, "sending",
    )  # fmt: skip


def test_the_rate_is_kept_and_an_outage_is_caught_up_only_in_part() -> None:
    pacer, many = Pacer(rate=100, speed=None, now=0), messages(10_000)
    assert pacer.due(many, 0, 1.0, 9999) == 100
    pacer.sent(100)
    assert pacer.due(many, 100, 1.0, 9999) == 0
    assert pacer.behind_s(many, 100, 1.5) == pytest.approx(0.5)
    assert pacer.due(many, 100, 61.0, 9999) == 200, "2 of 60 s are caught up"
    pacer.sent(200)
    assert pacer.due(many, 300, 62.0, 9999) == 100
    assert pacer.due(many, 300, 62.0, 30) == 30


def test_event_time_is_kept_at_the_speed() -> None:
    pacer, many = Pacer(rate=None, speed=100, now=5.0), messages(10_000)
    assert pacer.due(many, 0, 5.0, 9999) == 1
    assert pacer.due(many, 1, 6.0, 9999) == 100
    assert pacer.behind_s(many, 51, 6.0) == pytest.approx(0.49)
    fast = Pacer(None, None, 0)
    assert not fast.paced
    assert fast.due(many, 0, 0.0, 70) == 70


def test_a_long_gap_is_waited_for_only_so_long() -> None:
    pacer, far = Pacer(None, 1.0, 0.0, longest_gap_s=5.0), messages(3, seconds=86_400)
    assert pacer.due(far, 0, 0.0, 9) == 1
    assert pacer.due(far, 1, 0.5, 9) == 0
    assert pacer.due(far, 1, 5.4, 9) == 0
    assert pacer.due(far, 1, 5.6, 9) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rate": "fast"}, "--rate fast: write records a second"),
        ({"speed": "-1x"}, "--speed -1x: write a factor"),
        ({"sites": "0"}, "--sites 0: write a number from 1 to 1000"),
        ({"sites": "a,a"}, "--sites a,a: write each name once"),
        ({"sites": "a=x"}, "--sites a=x: write shares above 0"),
        ({"sites": "2"}, "2 sites need --split, or --bursts"),
        ({"sites": "2", "split": "entity", "topic": "t"}, "a pattern with {site}"),
        ({"split": "dirichlet:0.3"}, "--split dirichlet:0.3: write stage, time, entity or dirichlet"),
        ({"bursts": "share=0.9"}, "--bursts share=0.9: write a share from 0 to 0.5"),
        ({"bursts": "x=1"}, "--bursts x=1: write default, or normal="),
        ({"times": "yesterday"}, "--times yesterday: write original, now, now-5d or"),
        ({"faults": ["drop:2"]}, "--fault drop:2: write one of drop:SHARE"),
        ({"faults": ["late:0.1"]}, "--fault late:0.1: write one of"),
        ({"every": "0"}, "--every 0: write a duration"),
        ({"unpaced": True, "rate": "5"}, "--max is as fast as possible"),
        ({"start_row": 5, "stop_row": 5}, "--stop-row 5: write a row after --start-row"),
        ({"profile": "nsl-kdd", "times": "original"}, "have no time of their own"),
    ],
)
def test_a_wrong_option_is_one_clear_line(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        options_of(changes.pop("profile", "skab"), ["x"], **changes)
    assert said in str(caught.value)
