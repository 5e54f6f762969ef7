"""The embedded broker: the binary in the package `noida-db` (extra `embedded`), speaking Kafka's protocol.

Ready in 0.2 s, 5 MB, no Java. Not a full Kafka: no topic ids, commits outlive their deleted topic, a killed
group member is never removed, a SIGKILL of it loses the last seconds, memory grows with what it keeps (set
`retention.bytes`). The code is right on Apache Kafka first; see the contract suite for the differences.
"""

from __future__ import annotations

import os
from importlib import util
from pathlib import Path

from services.runtime.brokers.process import free_port, wait_until_ready
from services.runtime.errors import BrokerError
from services.runtime.processes import Child

_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 10.0
_REMEDY = "install the extra 'embedded', or use Apache Kafka (there is no wheel for Linux on ARM)"


def binary() -> Path | None:
    """The broker's binary, None if the package is not installed."""
    spec = util.find_spec("noida_db")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).with_name("noida-db")
    return path if path.is_file() else None


def missing() -> str | None:
    """What this machine lacks to run it; None if nothing."""
    return None if binary() is not None else f"the package noida-db is not here; {_REMEDY}"


class EmbeddedBroker:
    """See `services.runtime.brokers.LocalBroker`.

    Args:
        data_dir: where it keeps its data.
        port: 0 takes a free one, once.
    """

    name = "embedded broker (noida-db)"

    def __init__(self, data_dir: Path, port: int = 0) -> None:
        self._data_dir = data_dir
        self._port = port or free_port()
        self._child: Child | None = None

    @property
    def bootstrap_servers(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """See `LocalBroker.start`."""
        path = binary()
        if path is None:
            raise BrokerError(f"the embedded broker cannot start: {missing()}")
        if not os.access(path, os.X_OK):
            path.chmod(0o755)  # some installers drop the bit
        self._data_dir.mkdir(parents=True, exist_ok=True)
        # Started itself and not through the package's wrapper, which would end before it.
        command = [str(path), "start", "--only", "kafka", "--kafka-port", str(self._port)]
        command += ["--data-dir", str(self._data_dir / "noida")]
        self._child = Child(command, self._data_dir / "broker.log", self._data_dir)
        try:
            wait_until_ready(self._child, self.bootstrap_servers, self.name, _START_TIMEOUT_S)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """See `LocalBroker.stop`."""
        if self._child is not None:
            self._child.stop(_STOP_TIMEOUT_S)

    def kill(self) -> None:
        """See `LocalBroker.kill`."""
        if self._child is not None:
            self._child.kill()

    def restart(self) -> None:
        """See `LocalBroker.restart`."""
        self.stop()
        self.start()
