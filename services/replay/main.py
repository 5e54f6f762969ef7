"""The replay as a process: files, topics, then the loop."""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

from services.replay.bursts import BurstStream
from services.replay.faults import Faults
from services.replay.loop import Ledger, Replay, Reporter, Source
from services.replay.messages import Composer
from services.replay.metrics import ReplayMetrics
from services.replay.options import ReplayOptions
from services.replay.pacing import Pacer
from services.replay.position import Position, PositionFile, fingerprint
from services.replay.progress import screen
from services.replay.senders import open_sender
from services.replay.settings import ReplaySettings
from services.replay.share import Extent, Passed
from services.replay.stream import FileStream
from services.runtime.http import serve_status
from services.runtime.kafka import open_admin
from services.runtime.lifecycle import run_service, stop_event
from services.runtime.logging import setup_logging
from services.runtime.settings import load_settings
from services.runtime.topics import TopicSpec, ensure_topics
from streamgauge.errors import ConfigurationError
from streamgauge.profiles.loaders.inputs import Input, find_inputs
from streamgauge.profiles.loaders.long_files import file_profile
from streamgauge.profiles.loaders.streamed import dataset_of, stream_tables
from streamgauge.profiles.loaders.table import concatenated
from streamgauge.profiles.profile import Profile, load_profile

_SWITCH_S = 0.0005
"""Two threads take turns in short steps: the one that reads asks for Python's lock some hundred times a chunk."""
SAMPLE = "nsl-kdd-sample"
"""Name of the sample that comes with the package; see `services/replay/samples/README.md`."""


def inputs_of(files: Sequence[str], profile: Profile, unpacked: Path) -> list[Input]:
    """The files that are meant; the bundled sample by its name. Raises DataError."""
    sample = str(resources.files("services.replay") / "samples" / "nsl_kdd_sample.csv.gz")
    dataset = dataset_of(profile)
    return find_inputs(
        [sample if file == SAMPLE else file for file in files], dataset.files, dataset.folder, unpacked
    )


def run(options: ReplayOptions, settings: ReplaySettings, resume: Path | None, stop: threading.Event) -> None:
    """Create the topics and replay until `stop` or the end; SIGUSR1 ends the first, normal phase of bursts early.

    Raises:
        ConfigurationError, DataError: options or files are wrong; known before anything is sent, but for what is
            wrong in the middle of a file.
    """
    setup_logging(settings.log_format, settings.log_level, service="replay")
    sys.setswitchinterval(_SWITCH_S)
    profile = load_profile(options.profile)
    with tempfile.TemporaryDirectory(prefix="streamgauge-replay-") as unpacked:
        inputs = inputs_of(options.files, profile, Path(unpacked))
        file = PositionFile(resume, fingerprint(options, inputs)) if resume else None
        if file and file.all_sent():
            said = f"--resume {resume}: all was sent before, nothing is sent now; remove the file to send it anew"
            print(said, file=sys.stderr)
            return
        passed = Passed()
        extent = Extent(sum(each.size_bytes for each in inputs), options, passed)
        source = make_source(options, profile, inputs, time.time(), passed)
        begin = file.read() if file else Position()
        _send(options, settings, profile, source, extent, file, begin, stop)


def make_source(
    options: ReplayOptions, profile: Profile, inputs: Sequence[Input], now_s: float, passed: Passed
) -> Source:
    """Where the records come from: the files one by one, or bursts of records that are held in memory."""
    rows = file_profile(profile, inputs)
    if profile.long is not None and not rows.numeric and not rows.categorical:
        _check_lines(options, profile)
    if options.bursts is None:
        return FileStream(options, rows, inputs, now_s, passed)
    tables = [table for each in inputs for table in stream_tables(each, rows)]
    if not tables:
        raise ConfigurationError("--bursts: the files hold no records")
    return BurstStream(concatenated(tables), options, rows, now_s)


def _check_lines(options: ReplayOptions, profile: Profile) -> None:
    wrong = (
        "--bursts" if options.bursts else "--fault stuck" if any(f.kind == "stuck" for f in options.faults) else ""
    )
    if wrong:
        raise ConfigurationError(
            f"{wrong}: the files of profile {profile.name!r} hold one tag a line; it needs files of whole "
            "records, with a column for each tag"
        )


def _send(
    options: ReplayOptions,
    settings: ReplaySettings,
    profile: Profile,
    source: Source,
    extent: Extent,
    file: PositionFile | None,
    begin: Position,
    stop: threading.Event,
) -> None:
    metrics, faults = ReplayMetrics(), Faults(options.faults, options.seed, profile)
    partitions = _topics(options, settings, stop)
    composer = Composer(options, profile, partitions)
    if isinstance(source, BurstStream):
        signal.signal(signal.SIGUSR1, lambda *_: source.begin_bursts())
    sender = open_sender(settings, stop)
    status = serve_status(settings.metrics_host, settings.metrics_port, lambda: True, registry=metrics.registry)
    try:
        rate, speed = pace(options, profile)
        pacer = Pacer(rate, speed, time.monotonic(), options.longest_gap_s)
        ledger = Ledger(options.sites, metrics)
        replay = Replay(source, composer, faults, sender, pacer, ledger, settings.batch_records)
        with screen(status.port) as shown:
            reporter = Reporter(shown, metrics, time.monotonic, extent.share, file, begin.row)
            replay.run(stop, reporter, begin)
    finally:
        status.close()
        sender.close()


def pace(options: ReplayOptions, profile: Profile) -> tuple[float | None, float | None]:
    """Rate and speed: as given, else life's speed where the data have times, else 1,000 records a second."""
    if options.unpaced:
        return None, None
    timed = profile.time.field is not None and options.bursts is None
    if options.rate is None and options.speed is None:
        return (None, 1.0) if timed else (1000.0, None)
    return options.rate, options.speed


def _topics(options: ReplayOptions, settings: ReplaySettings, stop: threading.Event) -> list[int]:
    """Create the missing topics; the number of partitions of each site's."""
    names = [options.topic_of(site) for site in options.sites]
    specs = [TopicSpec(name, settings.partitions, settings.topic_config) for name in names]
    ensure_topics(settings.records, specs, settings.replication_factor, stop)
    with open_admin(settings.records, client_id="streamgauge-replay", stop=stop) as admin:
        states = admin.describe(names)
    return [states[name].partitions if name in states else settings.partitions for name in names]


def main(options: Callable[[], ReplayOptions], resume: Path | None, bootstrap_servers: str | None) -> int:
    """Run the replay; returns the exit code. What is wrong in the options is one line: they are read here."""
    given = {"records": {"bootstrap_servers": bootstrap_servers}} if bootstrap_servers else {}
    return run_service(lambda: run(options(), load_settings(ReplaySettings, **given), resume, stop_event()))
