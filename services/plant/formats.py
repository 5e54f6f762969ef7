"""Records as messages and as lines of CSV, wide and long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import msgspec

from services.runtime.log import TRUTH_HEADER, Outgoing
from services.runtime.partitions import partition_of
from streamgauge.plant.plant import Reading
from streamgauge.plant.tags import TAGS

NORMAL, ATTACK = "normal", "attack"
_LABELS = ("label", "attack_class", "attack_points")


def time_text(t: float) -> str:
    """ISO 8601, UTC, to the second: plants have no fractions."""
    return datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def labels_of(reading: Reading) -> dict[str, object]:
    """The fields with the truth."""
    label = ATTACK if reading.attacks else NORMAL
    return dict(zip(_LABELS, (label, reading.attack_class, reading.points), strict=True))


class Messages:
    """Records of one site as Kafka messages.

    Args:
        site: key, entity and field `plant`.
        topic: where they go.
        partitions: of the topic; a site keeps to one, so that its records stay in order.
        long: one tag a message.
        labels: with the truth in the record, not in a header only.
    """

    def __init__(self, site: str, topic: str, partitions: int, *, long: bool, labels: bool) -> None:
        self._site, self._topic, self._key = site, topic, site.encode()
        self._partition = partition_of(self._key, partitions)
        self._long, self._labels = long, labels
        self._encode = msgspec.json.Encoder().encode
        self._calm = (TRUTH_HEADER, b'{"label":"normal","attack":false}')

    def of(self, reading: Reading) -> Iterator[Outgoing]:
        """The message of a record, or the 51 of a long one."""
        header = self._truth(reading) if reading.attacks else self._calm
        head: dict[str, object] = {"t": time_text(reading.t), "plant": self._site}
        truth = labels_of(reading) if self._labels else {}
        for body in self._bodies(reading):
            value = self._encode({**head, **body, **truth})
            yield Outgoing(self._topic, self._key, value, (header,), self._partition, int(reading.t * 1000))

    def _bodies(self, reading: Reading) -> Iterator[Mapping[str, object]]:
        if self._long:
            yield from ({"tag": tag, "value": value} for tag, value in reading.values.items())
        else:
            yield reading.values

    def _truth(self, reading: Reading) -> tuple[str, bytes]:
        truth = {"label": reading.attack_class, "attack": True, "points": reading.points}
        return TRUTH_HEADER, self._encode(truth)


def csv_header(*, long: bool, labels: bool) -> str:
    """The first line of a file."""
    columns = ("tag", "value") if long else TAGS
    return ",".join(("t", "plant", *columns, *(_LABELS if labels else ())))


def csv_lines(site: str, reading: Reading, *, long: bool, labels: bool) -> Iterator[str]:
    """The line of a record, or the 51 of a long one."""
    head = f"{time_text(reading.t)},{site},"
    tail = f",{ATTACK if reading.attacks else NORMAL},{reading.attack_class},{' '.join(reading.points)}"
    tail = tail if labels else ""
    if long:
        yield from (f"{head}{tag},{value}{tail}" for tag, value in reading.values.items())
    else:
        yield f"{head}{','.join(map(str, reading.values.values()))}{tail}"
