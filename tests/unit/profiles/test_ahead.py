"""A record dated far ahead would carry the watermark with it: it is rejected, its neighbours are not."""

from __future__ import annotations

import json
from dataclasses import dataclass

from streamgauge.profiles.decoder import Decoder
from tests.support.plant import plant_profile, plant_records


@dataclass(frozen=True)
class Record:
    timestamp: int
    key: bytes | None
    value: bytes | None


def test_a_record_dated_ahead_of_its_message_is_rejected() -> None:
    plain = plant_records(4, attacks=False)
    records = [Record(int(r["time"] * 1000), b"k", json.dumps(r).encode()) for r in plain]
    records[1] = Record(records[1].timestamp, b"k", json.dumps({**plain[1], "time": 4.1e9}).encode())
    records[2] = Record(-1, b"k", json.dumps({**plain[2], "time": 4.1e9}).encode())
    decoded = Decoder(plant_profile(), max_ahead_s=3600).decode(records)
    assert decoded.good.tolist() == [0, 2, 3], "without a timestamp of the message nothing can be said"
    ((position, reason, detail),) = decoded.rejected
    assert (position, reason) == (1, "bad-time")
    assert "allowed: 3600" in detail
