"""How fast the replay sends: the real process, with either client, from CSV and Parquet, JSON and columnar."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

from pyarrow import csv, parquet

from benchmarks.speed.sensors import DISTINCT, FIELDS, MACHINES, START_S, draw, write_profile
from benchmarks.speed.site import PROJECT, NotInTimeError, Site

CLIENTS = ("librdkafka", "kafka-python")
COLUMNAR = 1000
FORMS = ((0, "lz4"), (COLUMNAR, "lz4"), (COLUMNAR, "none"))
"""Records a message, 0 for JSON, and compression."""
LOOPS = 4
"""So often the file is sent in columnar form, which is over too soon otherwise."""
_DEADLINE_S = 600


def replay(site: Site, n: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Records a second of each client, file and form; reading and parsing the file is part of it."""
    profile, text = write_profile(site.directory), site.directory / "sensors.csv"
    write_records(text, n)
    rows = []
    for client, path, (columnar, compression) in product(CLIENTS, (text, as_parquet(text)), FORMS):
        loops = LOOPS if columnar else 1
        words = ["--topic", site.topic("replay"), "--max", "--columnar", str(columnar), "--loop", str(loops)]
        speed = _sent(site, client, compression, [str(profile), str(path), *words], n * loops)
        form = f"Arrow, {COLUMNAR} a message" if columnar else "JSON"
        rows.append({"client": client, "file": path.suffix[1:], "form": form, "compression": compression, **speed})
        say(f"{', '.join(list(rows[-1].values())[:4])}: {speed['records_per_s']:,.0f} records/s")
    return rows


def as_parquet(text: Path) -> Path:
    """The same rows as a Parquet file beside, as pyarrow writes one."""
    path = text.with_suffix(".parquet")
    parquet.write_table(csv.read_csv(text), path)
    return path


def write_records(path: Path, n: int) -> None:
    """The stream of `benchmarks.speed.sensors` as a CSV file."""
    rows = [",".join(map(str, row)) for row in draw(0, abnormal=False).tolist()]
    with path.open("w") as file:
        file.write(",".join(("time", "machine", *FIELDS)) + "\n")
        for i in range(n):
            file.write(f"{START_S + i / MACHINES:.2f},machine-{i % MACHINES},{rows[i % DISTINCT]}\n")


def _sent(site: Site, client: str, compression: str, words: list[str], n: int) -> dict[str, Any]:
    """Between the process's first line, a second after it began to send, and its last."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMGAUGE_")}
    environment |= {"STREAMGAUGE_REPLAY_CLIENT": client, "STREAMGAUGE_REPLAY_PARTITIONS": "4"}
    environment |= {"STREAMGAUGE_REPLAY_COMPRESSION": compression}
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
