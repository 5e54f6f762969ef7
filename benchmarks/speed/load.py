"""The load: a process that fills a topic or sends at a rate, and notes when it sent each record.

librdkafka makes it, so that the load costs little of the machine that is measured. ``linger.ms`` 5 as in our own
producers: its wait is part of the latency from produced to scored.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from confluent_kafka import Producer

from benchmarks.speed.sensors import Stream
from streamgauge.profiles.columnar import CONTENT_TYPE

TICK_S = 0.001


def main() -> None:
    """Send; ``stamps`` gets sent (n,) wall time and partition (n,) int64, in the order of sending."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--n", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0.0, help="records a second; 0: as fast as possible")
    parser.add_argument("--abnormal", type=float, default=0.0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stamps", type=Path)
    parser.add_argument("--bad", type=int, default=0, help="1: every hundredth record is a bad one")
    parser.add_argument("--rows", type=int, default=0, help="records a message, as Arrow streams; 0: one, as JSON")
    options = parser.parse_args()
    stream = Stream(options.abnormal, options.seed, options.first, bool(options.bad))
    if options.rows:
        send_streams(options, stream)
        print(json.dumps({"sent": options.n, "late_s": 0.0}), flush=True)
        return
    stamps, late_s = send(options, stream.records(options.n))
    if options.stamps:
        with options.stamps.open("wb") as file:
            np.savez(file, sent=stamps[:, 0], partition=stamps[:, 1].astype(np.int64))
    print(json.dumps({"sent": options.n, "late_s": late_s}), flush=True)


def producer_of(bootstrap: str, topic: str) -> Producer:
    """A producer as ours are set, its connection made."""
    settings = {
        "bootstrap.servers": bootstrap,
        "linger.ms": 5,
        "compression.type": "lz4",
        "acks": "all",
        "enable.idempotence": True,
        "queue.buffering.max.messages": 100_000,
        "queue.buffering.max.kbytes": 262_144,
    }
    producer = Producer(settings)
    producer.list_topics(topic, timeout=10)
    return producer


def send_streams(options: argparse.Namespace, stream: Stream) -> None:
    """Send all records as Arrow streams, as fast as they are taken."""
    producer = producer_of(options.bootstrap, options.topic)
    stamp = int(time.time() * 1000)
    headers: list[tuple[str, str | bytes | None]] = [("content-type", CONTENT_TYPE)]
    for partition, value, _ in stream.messages(options.n, options.rows, options.partitions):
        while True:
            try:
                producer.produce(options.topic, value, b"load", partition, timestamp=stamp, headers=headers)
                break
            except BufferError:
                producer.poll(0.01)
    if producer.flush(120):
        raise SystemExit("messages were not delivered")


def send(options: argparse.Namespace, records: Iterator[tuple[bytes, bytes, bool]]) -> tuple[np.ndarray, float]:
    """Send all; returns (n, 2) time and partition, and by how much the load itself was late at worst."""
    failed: list[object] = []
    producer = producer_of(options.bootstrap, options.topic)
    stamps, late_s, start = np.empty((options.n, 2)), 0.0, time.time() + 0.1

    def answered(error: object, _: object) -> None:
        if error is not None:
            failed.append(error)

    for i, (key, value, _) in enumerate(records):
        if options.rate and (due := start + i / options.rate) > (now := time.time()):
            producer.poll(0)
            while due > now:
                time.sleep(min(TICK_S, due - now))
                now = time.time()
        elif options.rate:
            late_s = max(late_s, now - due)
        partition = int(key[8:]) % options.partitions
        stamps[i] = time.time(), partition
        while True:
            try:
                producer.produce(
                    options.topic, value, key, partition, answered, timestamp=int(stamps[i, 0] * 1000)
                )
                break
            except BufferError:
                producer.poll(0.01)
    producer.flush(60)
    if failed or len(producer):
        raise SystemExit(f"{len(failed)} records were not delivered: {failed[:1]}")
    return stamps, late_s


if __name__ == "__main__":
    main()
