"""A real Apache Kafka on this machine (KRaft, one combined node) from the jars in Maven Central.

Needs Java 17 and Maven; the jars (44 MB) are fetched once into the user's cache. Starts in about 5 s, 325 MB.

It collects garbage with one thread: it shares the machine with all that it serves, and where cores are few the
threads of Java's default collector (G1) wait for each other. On two cores, with 20,000 records/s and a bare loop
that reads them, G1 stopped the broker for up to 104 ms every 1.3 s, also with the options of Kafka's own start
script and with its log in memory; the serial collector for 12 to 31 ms every 10 s.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import tempfile
import uuid
from functools import cache
from pathlib import Path

from services.runtime.atomic import write_atomic
from services.runtime.brokers.process import BrokerProcess, free_port
from services.runtime.errors import BrokerError

VERSION = "4.3.1"
_JAVA_AT_LEAST = 17
_MAVEN_TIMEOUT_S = 600.0
_FORMAT_TIMEOUT_S = 60.0
_POM = Path(__file__).with_name("pom.xml")
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
"""


@cache
def missing() -> str | None:
    """What this machine lacks to run it; None if nothing."""
    if shutil.which("java") is None:
        return f"Java {_JAVA_AT_LEAST} or newer is not on the PATH"
    reply = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(\d+)', reply.stderr + reply.stdout)
    if found is None or int(found[1]) < _JAVA_AT_LEAST:
        return f"Java is {found[1] if found else 'of an unknown version'}, needs {_JAVA_AT_LEAST} or newer"
    if not (_libraries() / "complete").is_file() and shutil.which("mvn") is None:
        return "Maven (mvn) is not on the PATH, so that Kafka's jars cannot be fetched"
    return None


def _libraries() -> Path:
    cache_home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache_home) / "streamgauge" / f"kafka-{VERSION}"


def fetch() -> Path:
    """The directory with Kafka's jars; fetched with Maven the first time.

    Raises:
        BrokerError: Maven failed; with its last lines.
    """
    libraries = _libraries()
    if (libraries / "complete").is_file():
        return libraries
    libraries.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=libraries.parent) as work:
        # A copy of the POM, since Maven may write beside it.
        shutil.copy(_POM, work)
        goal = "dependency:copy-dependencies"
        command = ["mvn", "-q", "-B", goal, "-DincludeScope=runtime", f"-DoutputDirectory={work}/libs"]
        _run(command, Path(work), _MAVEN_TIMEOUT_S, "fetching Apache Kafka's jars")
        (Path(work) / "libs" / "complete").touch()
        if not libraries.exists():  # another process may have been faster
            (Path(work) / "libs").rename(libraries)
    return libraries


def _run(command: list[str], cwd: Path, timeout_s: float, doing: str) -> None:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout_s, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BrokerError(f"{doing} failed: {error}") from None
    if done.returncode != 0:
        raise BrokerError(f"{doing} failed with code {done.returncode}: {(done.stdout + done.stderr)[-1500:]}")


class KafkaBroker(BrokerProcess):
    """See `services.runtime.brokers.LocalBroker`.

    Args:
        data_dir: where it keeps its data.
        port: 0 takes a free one, once.
        heap_mb: the JVM's largest heap.
    """

    name = f"Apache Kafka {VERSION}"
    _start_timeout_s = 60.0
    _stop_timeout_s = 20.0

    def __init__(self, data_dir: Path, port: int = 0, heap_mb: int = 512) -> None:
        super().__init__(data_dir, port)
        self._controller = free_port()
        self._heap_mb = heap_mb

    def _command(self) -> list[str]:
        if (lack := missing()) is not None:
            raise BrokerError(f"Apache Kafka cannot start: {lack}")
        heap = [f"-Xmx{self._heap_mb}m", f"-Xmn{self._heap_mb * 2 // 5}m", "-XX:+UseSerialGC"]
        java = ["java", *heap, "-cp", f"{fetch()}/*"]
        data = self._data_dir / "data"
        properties = self._data_dir / "server.properties"
        text = _PROPERTIES.format(port=self._port, controller=self._controller, data=data)
        write_atomic(properties, text.encode(), mode=0o644)
        if not (data / "meta.properties").is_file():
            cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "a")
            tool = ["kafka.tools.StorageTool", "format", "--standalone", "-t", cluster_id, "-c", str(properties)]
            _run([*java, *tool], self._data_dir, _FORMAT_TIMEOUT_S, "formatting Kafka's storage")
        return [*java, "kafka.Kafka", str(properties)]
