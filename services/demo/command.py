"""The commands `demo` and `kafka`: choices to options, errors to one line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from services.demo.main import run_demo
from services.demo.plan import DemoOptions
from services.demo.sources import SOURCES
from services.runtime.brokers import LocalBroker, best_broker
from services.runtime.brokers.kafka import KafkaBroker
from services.runtime.errors import SettingsError
from services.runtime.lifecycle import EXIT_CONFIGURATION, run_service, stop_event
from streamgauge.detectors import DETECTORS
from streamgauge.errors import ConfigurationError, StreamgaugeError


def demo(for_s: float | None, data: str, broker: str, detector: str | None, api_port: int) -> int:
    """Run the demo; returns the exit code."""
    try:
        makers: dict[str, Callable[[Path], LocalBroker]] = {"embedded": _embedded_or_kafka, "kafka": KafkaBroker}
        if broker not in makers:
            raise ConfigurationError(f"--broker={broker}: use embedded or kafka")
        if data not in SOURCES:
            raise ConfigurationError(f"--data={data}: use {' or '.join(SOURCES)}")
        source = SOURCES[data]
        chosen = detector or source.detector
        learn_labels = source.labels and DETECTORS[chosen].uses_labels
        options = DemoOptions(source=source, detector=chosen, learn_labels=learn_labels, api_port=api_port)
        return run_demo(options, makers[broker], for_s)
    except (ConfigurationError, SettingsError) as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIGURATION
    except StreamgaugeError as error:
        print(error, file=sys.stderr)
        return 1


def _embedded_or_kafka(directory: Path) -> LocalBroker:
    """The embedded broker where its package has a build for this machine, else Kafka."""
    return best_broker(directory, prefer="embedded")


def kafka(data_dir: Path, port: int) -> int:
    """Run Kafka until it is told to stop."""

    def serve() -> None:
        stop = stop_event()
        broker = KafkaBroker(data_dir.resolve(), port)
        broker.start()
        print(f"{broker.name} on {broker.bootstrap_servers}, data in {data_dir}; Ctrl-C stops it", flush=True)
        try:
            stop.wait()
        finally:
            broker.stop()

    return run_service(serve)
