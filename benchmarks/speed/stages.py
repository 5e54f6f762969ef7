"""What decoding and scoring cost by themselves, in this process, without a broker."""

from __future__ import annotations

import json
import random
import tempfile
import time
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.speed.sensors import FIELDS, Stream, write_profile
from streamgauge.detectors import DETECTORS
from streamgauge.judging import score_rows
from streamgauge.layout import initial_weights
from streamgauge.profiles.columnar import ColumnarDecoder
from streamgauge.profiles.decoder import Decoder
from streamgauge.profiles.imputing import Imputer
from streamgauge.profiles.profile import load_profile
from streamgauge.profiles.record_reader import RecordReader
from streamgauge.state import ModelState
from streamgauge.stream.imputation import LastValues

BATCH, BATCHES, REPEATS = 500, 40, 5


@dataclass(frozen=True)
class Message:
    """As a consumer hands it out."""

    key: bytes
    value: bytes
    timestamp: int = 0


def stages() -> dict[str, float]:
    """Microseconds of CPU a record of each stage, best of five passes over 20,000 records in polls of 500."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as directory:
        profile = load_profile(str(write_profile(Path(directory))))
    schema = profile.schema
    records = [Message(key, value) for key, value, _ in Stream().records(BATCH * BATCHES)]
    batches = [records[i : i + BATCH] for i in range(0, len(records), BATCH)]
    values = [[record.value for record in batch] for batch in batches]
    reader, decoder, imputer, last = (
        RecordReader(profile, False, 1 << 20),
        Decoder(profile),
        Imputer(profile),
        LastValues(),
    )
    decoded = [decoder.decode(batch) for batch in batches]
    x = [imputer.impute(part, last).encode(schema) for part in decoded]
    detector = DETECTORS["autoencoder"](schema.width, {})
    weights, statistics = ModelState(initial_weights(detector.layout, 0), {}).tensors(detector.layout)
    rows = [((part - 20) / 9).astype(np.float32) for part in x]

    long = [_reworked(record, digits=17) for record in records]
    shuffled = [_reworked(record, shuffle=True) for record in records]
    streams = [Message(b"", value) for _, value, _ in Stream().messages(BATCH * BATCHES, BATCH, 1)]
    columnar = ColumnarDecoder(profile)

    def best(work: Callable[[int], object]) -> float:
        times = timeit.repeat(
            lambda: [work(i) for i in range(BATCHES)], number=1, repeat=REPEATS, timer=time.process_time
        )
        return 1e6 * min(times) / len(records)

    return {
        "read JSON into structs": best(lambda i: reader.read_batch(values[i])),
        "decode and validate, all of it": best(lambda i: decoder.decode(batches[i])),
        "the same, numbers of 17 digits": best(lambda i: decoder.decode(long[BATCH * i : BATCH * (i + 1)])),
        "the same, keys in another order each": best(
            lambda i: decoder.decode(shuffled[BATCH * i : BATCH * (i + 1)])
        ),
        "the same, one Arrow stream of 500 records": best(lambda i: columnar.decode_messages(streams[i : i + 1])),
        "the same, eight such streams together": best(lambda i: _eighth(i, streams, columnar)),
        "impute and encode": best(lambda i: imputer.impute(decoded[i], last).encode(schema)),
        "score": best(lambda i: score_rows(detector, weights, statistics, rows[i])),
    }


def _reworked(record: Message, digits: int = 0, shuffle: bool = False) -> Message:
    """The same record with longer numbers or its keys shuffled; the seed is the record's own bytes."""
    values = json.loads(record.value)
    rng = random.Random(record.value)
    if digits:
        values |= {field: round(values[field] + rng.random() * 1e-5, digits - 2) for field in FIELDS}
    items = list(values.items())
    if shuffle:
        rng.shuffle(items)
    return Message(record.key, json.dumps(dict(items)).encode())


def _eighth(i: int, streams: list[Message], decoder: ColumnarDecoder) -> None:
    if i % 8 == 0:
        decoder.decode_messages(streams[i : i + 8])
