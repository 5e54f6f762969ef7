"""`python -m benchmarks.speed`: measure, and write docs/results/speed.{json,md,png}."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from benchmarks.speed import measures
from benchmarks.speed.detectors import detector_costs
from benchmarks.speed.latency import floor, latency
from benchmarks.speed.measures import FULL, QUICK, Sizes
from benchmarks.speed.replay import replay
from benchmarks.speed.report import write_report
from benchmarks.speed.site import PROJECT, NotInTimeError, Service, Site, prepare, stop
from benchmarks.speed.stages import stages
from services.runtime.brokers import LocalBroker, embedded, kafka
from streamgauge.errors import StreamgaugeError

ALONE = ("stages", "detectors")
"""Measured in this process, without a broker."""
NAMES = (*ALONE, "throughput", "bad", "latency", "floor", "training", "memory", "start", "replay", "demo")
PACKAGES = ("kafka-python", "torch", "numpy", "msgspec", "river", "confluent-kafka", "noida-db", "crc32c", "lz4")
EMBEDDED_BACKLOG = 100_000
"""The embedded broker answers nothing to a backlog of over 50 MB: 150,000 records were read, 200,000 were not."""


class External:
    """A broker that somebody else runs."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.name = "Apache Kafka (KAFKA_BOOTSTRAP_SERVERS)"

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def restart(self) -> None: ...


def main() -> int:
    """Run; 1 if a measurement failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--broker", choices=("kafka", "embedded", "all"), default="all")
    parser.add_argument("--quick", action="store_true", help="short and rough; writes to var/ only")
    parser.add_argument("--only", choices=NAMES, action="append", help="may be repeated")
    parser.add_argument(
        "--update", action="store_true", help="put what is measured now in place of its like in docs/results/"
    )
    options = parser.parse_args()
    if options.update and options.quick:
        parser.error("--update: not with --quick; results that are kept are measured in full")
    wanted, sizes = options.only or NAMES, QUICK if options.quick else FULL
    result: dict[str, Any] = {
        "machine": machine(PACKAGES),
        "sizes": asdict(sizes),
        "quick": options.quick,
        "brokers": {},
    }
    say = Progress()
    if "stages" in wanted:
        result["stages"] = stages()
        say(f"stages, microseconds a record: {result['stages']}")
    if "detectors" in wanted:
        result["detectors"] = {"measured": head_of(result["machine"]), "rows": detector_costs(say)}
    if set(wanted) - set(ALONE):
        for name in ("kafka", "embedded") if options.broker == "all" else (options.broker,):
            result["brokers"][name] = on_broker(name, sizes, wanted, say)
    result["machine"]["load_after"] = os.getloadavg()[0]
    failed = any("failed" in part for part in result["brokers"].values())  # now, whatever failed in what is kept
    # A part of the measurements must not replace the results of all of them.
    whole = not options.quick and options.broker == "all" and set(wanted) == set(NAMES)
    directory = PROJECT / ("docs/results" if whole or options.update else "var/bench-speed")
    directory.mkdir(parents=True, exist_ok=True)
    if options.update:
        result = merged(json.loads((directory / "speed.json").read_text()), result)
    (directory / "speed.json").write_text(json.dumps(result, indent=1) + "\n")
    write_report(result, directory)
    print((directory / "speed.md").read_text())
    say(f"written to {directory.relative_to(PROJECT)}/speed.json, .md and .png")
    return 1 if failed else 0


def merged(kept: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The kept result with the measurements of the new one in place; each says when it was made."""
    head = head_of(new["machine"]) | {"load_after": new["machine"]["load_after"]}
    kept.update({name: new[name] for name in ALONE if name in new})
    for broker, part in new["brokers"].items():
        old = kept["brokers"].setdefault(broker, {})
        names = set(NAMES) & (part.keys() | part.get("failed", {}).keys())
        failed = {k: v for k, v in old.pop("failed", {}).items() if k not in names} | part.get("failed", {})
        again = old.pop("again", {}) | dict.fromkeys(sorted(names), head)
        old.update({**part, "again": again, **({"failed": failed} if failed else {})})
    return kept


def head_of(machine: dict[str, Any]) -> dict[str, Any]:
    """When and on which commit and load something was measured."""
    return {name: machine[name] for name in ("date", "commit", "load_before")}


class Progress:
    """Prints lines with the time since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"[{time.monotonic() - self._start:6.1f} s] {text}", file=sys.stderr, flush=True)


def make_broker(name: str, directory: Path) -> LocalBroker:
    """Apache Kafka: the one of KAFKA_BOOTSTRAP_SERVERS, else one of our own; or the embedded one."""
    if name == "embedded":
        return embedded.EmbeddedBroker(directory)
    servers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    return External(servers) if servers else kafka.KafkaBroker(directory, heap_mb=1024)


def on_broker(name: str, sizes: Sizes, wanted: tuple[str, ...], say: Progress) -> dict[str, Any]:
    """All wanted measurements on one broker; what fails is noted under ``failed``."""
    if lack := {"kafka": kafka, "embedded": embedded}[name].missing():
        say(f"no {name}: {lack}")
        return {"skipped": lack}
    if name == "embedded":
        small = {name: min(getattr(sizes, name), EMBEDDED_BACKLOG) for name in ("throughput", "bad", "replay")}
        sizes = Sizes(**{**asdict(sizes), **small})
    with tempfile.TemporaryDirectory(prefix="streamgauge-bench-") as made:
        directory = Path(made)
        broker = make_broker(name, directory / "broker")
        broker.start()
        say(f"{broker.name} on {broker.bootstrap_servers}")
        result: dict[str, Any] = {"name": broker.name}
        site = Site(broker.bootstrap_servers, directory)
        try:
            _Run(site, broker, sizes, say, result).all(wanted)
        except (NotInTimeError, StreamgaugeError) as error:
            result.setdefault("failed", {})["setting up"] = str(error)
        finally:
            if isinstance(broker, External):
                site.delete_topics()
            broker.stop()
    if "demo" in wanted:
        result["demo"] = measures.demo_start(sizes.demo_s, name, say)
    return result


class _Run:
    """The measurements at one site, in order."""

    def __init__(
        self, site: Site, broker: LocalBroker, sizes: Sizes, say: Progress, result: dict[str, Any]
    ) -> None:
        self._site, self._broker, self._sizes, self._say, self._result = site, broker, sizes, say, result

    def all(self, wanted: tuple[str, ...]) -> None:
        if "replay" in wanted:
            self._try("replay", lambda: replay(self._site, self._sizes.replay, self._say))
        if not set(wanted) - {*ALONE, "replay", "demo"}:
            return
        self._say("preparing: a node learns, agrees, trains, votes and calibrates")
        aggregator = prepare(self._site)
        site, sizes, say = self._site, self._sizes, self._say
        steps: dict[str, Callable[[], Any]] = {
            "throughput": lambda: measures.throughput(site, sizes, say),
            "bad": lambda: measures.bad_records(site, sizes, say),
            "latency": lambda: latency(site, sizes, say, training=False),
            "floor": lambda: floor(site, sizes, say),
            "memory": lambda: measures.memory(site, sizes, say, self._others(aggregator)),
            "start": lambda: measures.pinned_start(site, say),
        }
        for name, step in steps.items():
            if name in wanted:
                self._try(name, step)
        if "training" in wanted:
            stop(aggregator)  # the same one again, but with one round after the other
            aggregator = site.aggregator(ROUND_INTERVAL_S=0, EPOCHS=3000)
            self._try("training", lambda: latency(site, sizes, say, training=True))
        stop(aggregator)

    def _others(self, aggregator: Service) -> dict[str, int]:
        child = getattr(self._broker, "_child", None)
        return {"aggregator": aggregator.child.pid} | ({"broker": child.pid} if child else {})

    def _try(self, name: str, step: Callable[[], Any]) -> None:
        self._say(name)
        try:
            self._result[name] = step()
        except NotInTimeError as error:
            self._say(f"{name} failed: {error}")
            self._result.setdefault("failed", {})[name] = str(error)


if __name__ == "__main__":
    sys.exit(main())
