"""``python -m services.plant.main``: settings, plants, then the loop."""

from __future__ import annotations

import re
import signal
import sys
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from services.plant.loop import Loop
from services.plant.metrics import PlantMetrics
from services.plant.orders import orders_of
from services.plant.outputs import CsvFile, Output, Topics
from services.plant.settings import PlantSettings
from services.plant.sites import Sites
from services.runtime.errors import SettingsError
from services.runtime.http import serve_status
from services.runtime.kafka import open_producer
from services.runtime.lifecycle import run_service, stop_event
from services.runtime.logging import setup_logging
from services.runtime.settings import load_settings
from services.runtime.topics import TopicSpec, ensure_topics

_OPTIONS = {"for_s": "--for", "sites": "--site", "records": "--bootstrap", "state_dir": "--state"}
"""Settings whose option on the command line has another name."""


def make_output(settings: PlantSettings, stop: threading.Event) -> Output:
    """A file, or the topics, which are made if they are missing."""
    if settings.out is not None:
        long = settings.layout == "long"
        return CsvFile(settings.out, long=long, labels=settings.labels, append=settings.keeps_state)
    assert settings.records is not None
    specs = [
        TopicSpec(settings.topic_of(site), settings.partitions, settings.topic_config) for site in settings.sites
    ]
    ensure_topics(settings.records, specs, settings.replication_factor, stop)
    return Topics(settings, open_producer(settings.records, client_id="streamgauge-plant", stop=stop))


def run(settings: PlantSettings, stop: threading.Event) -> None:
    """Make records until `stop` or the end; SIGUSR1 begins the schedule of attacks."""
    setup_logging(settings.log_format, settings.log_level, service="plant")
    sites, metrics = Sites(settings, datetime.now(UTC)), PlantMetrics()
    output = make_output(settings, stop)
    try:
        status = serve_status(
            settings.metrics_host,
            settings.metrics_port,
            lambda: True,
            registry=metrics.registry,
            orders=orders_of(sites),
        )
        try:
            signal.signal(signal.SIGUSR1, lambda *_: sites.begin_schedule())
            loop = Loop(sites, output, metrics, settings.speed, settings.for_s, time.monotonic)
            loop.run(stop, sys.stdout, metrics_port=status.port)
        finally:
            status.close()
    finally:
        output.close()


def main(overrides: Mapping[str, Any] | None = None) -> int:
    """Run the plants from the environment's settings and the command's options; returns the exit code."""
    return run_service(lambda: run(settings_of(overrides or {}), stop_event()))


def settings_of(options: Mapping[str, Any]) -> PlantSettings:
    """The settings; what is wrong in an option is said of the option.

    Raises:
        SettingsError: one line for each wrong setting.
    """
    try:
        return load_settings(PlantSettings, **options)
    except SettingsError as error:
        text = str(error)
        for name in options:
            variable = f"STREAMGAUGE_PLANT_{name.upper()}"
            option = _OPTIONS.get(name, f"--{name}")
            text = re.sub(rf"^{variable}(=|(?=[:_ ]))", f"{option} ", text, flags=re.MULTILINE)
        raise SettingsError(text) from error


if __name__ == "__main__":
    sys.exit(main())
