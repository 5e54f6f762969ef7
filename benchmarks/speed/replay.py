"""How fast the replay sends: the real process, with either client, JSON and columnar."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.speed.sensors import DISTINCT, FIELDS, MACHINES, START_S, draw, write_profile
from benchmarks.speed.site import PROJECT, NotInTimeError, Site

CLIENTS = ("librdkafka", "kafka-python")
COLUMNAR = 1000
_DEADLINE_S = 600


def replay(site: Site, n: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Records a second of each client and form; reading and parsing the CSV file is part of it."""
    profile, path = write_profile(site.directory), site.directory / "sensors.csv"
    write_records(path, n)
    rows = []
    for client in CLIENTS:
        for columnar in (0, COLUMNAR):
            topic = site.topic("replay")
            words = ["--topic", topic, "--max", "--columnar", str(columnar)]
            speed = _sent(site, client, [str(profile), str(path), *words], n)
            rows.append(
                {"client": client, "form": f"Arrow, {COLUMNAR} a message" if columnar else "JSON", **speed}
            )
            say(f"{client}, {rows[-1]['form']}: {speed['records_per_s']:,.0f} records/s")
    path.unlink()
    return rows


def write_records(path: Path, n: int) -> None:
    """The stream of `benchmarks.speed.sensors` as a CSV file."""
    rows = draw(0, abnormal=False).tolist()
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "machine", *FIELDS])
        for i in range(n):
            writer.writerow([f"{START_S + i / MACHINES:.2f}", f"machine-{i % MACHINES}", *rows[i % DISTINCT]])


def _sent(site: Site, client: str, words: list[str], n: int) -> dict[str, Any]:
    """Between the process's first line, a second after it began to send, and its last."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMGAUGE_")}
    environment |= {"STREAMGAUGE_REPLAY_CLIENT": client, "STREAMGAUGE_REPLAY_PARTITIONS": "4"}
    command = [sys.executable, "-m", "services.cli", "replay", *words, "--bootstrap-servers", site.bootstrap]
    before = os.times()
    seen: list[tuple[float, int]] = []
    with subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            seen.append((time.monotonic(), sum(json.loads(line)["sent"].values())))
        code = process.wait(_DEADLINE_S)
    after = os.times()
    if code or len(seen) < 2 or seen[-1][1] != n:
        raise NotInTimeError(f"the replay ended with code {code} after {seen[-1:]} of {n:,} records")
    (start, first), (end, last) = seen[0], seen[-1]
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"records": n, "records_per_s": (last - first) / (end - start), "cpu_us": 1e6 * cpu / n}
