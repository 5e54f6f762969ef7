"""Where records go: a Kafka topic each, or one CSV file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, TextIO

from services.plant.formats import Messages, csv_header, csv_lines
from services.plant.settings import PlantSettings
from services.runtime.errors import SettingsError
from services.runtime.log import Outgoing, Producer
from streamgauge.plant.plant import Reading

Records = Iterable[tuple[str, Reading]]


class Output(Protocol):
    """Takes records in order; they are safe when `write` returns."""

    def write(self, records: Records) -> None:
        """Write or send them."""

    def close(self) -> None:
        """No more come."""


class Topics:
    """Sends every site's records to its topic and waits until they are acknowledged."""

    def __init__(self, settings: PlantSettings, producer: Producer) -> None:
        self._producer = producer
        self._messages = {
            site: Messages(
                site,
                settings.topic_of(site),
                settings.partitions,
                long=settings.layout == "long",
                labels=settings.labels,
            )
            for site in settings.sites
        }

    def write(self, records: Records) -> None:
        """Send; raises what `Producer.deliver` raises."""
        batch: list[Outgoing] = []
        for site, reading in records:
            batch += self._messages[site].of(reading)
        self._producer.deliver(batch)

    def close(self) -> None:
        """Free the sockets."""
        self._producer.close()


class CsvFile:
    """Writes a new CSV file, or adds to one where `append` is set.

    Raises:
        SettingsError: the file is there, or cannot be written.
    """

    def __init__(self, path: Path, *, long: bool, labels: bool, append: bool) -> None:
        self._long, self._labels = long, labels
        new = not (append and path.exists())
        try:
            self._file: TextIO = path.open("x" if new else "a", encoding="utf-8", newline="\n")
        except OSError as error:
            raise SettingsError(f"out={path}: {error.strerror}; choose another file") from None
        if new:
            self._file.write(csv_header(long=long, labels=labels) + "\n")

    def write(self, records: Records) -> None:
        """Write; on disk when the system says so."""
        for site, reading in records:
            for line in csv_lines(site, reading, long=self._long, labels=self._labels):
                self._file.write(line + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
