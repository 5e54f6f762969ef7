"""The floor of the machine: poll, decode, score, and nothing else.

The same parts as the node's own, but no learning, no alerts, no commits, no checkpoints, and all partitions of a
poll are decoded and scored together: beside it the node shows what all the rest costs.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from benchmarks.speed.measures import saved_bundle
from benchmarks.speed.site import READY
from services.edge_node.scorer import Scorer
from services.runtime.kafka import open_consumer
from services.runtime.log import Partition
from services.runtime.settings import ClusterSettings
from streamgauge.profiles.decoder import Decoder
from streamgauge.profiles.imputing import Imputer
from streamgauge.profiles.profile import load_profile
from streamgauge.stream.imputation import LastValues


def main() -> None:
    """Score n records; ``out`` gets partition, offset and the wall time when each was scored (``acked``)."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--n", type=int, required=True)
    parser.add_argument("--profile", required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    profile = load_profile(options.profile)
    decoder, imputer, last = Decoder(profile), Imputer(profile), LastValues()
    scorer = Scorer(saved_bundle(options.checkpoint), profile.schema)
    cluster = ClusterSettings(bootstrap_servers=options.bootstrap)
    consumer = open_consumer(cluster, client_id="bare", group_id=f"{options.topic}-bare", client="auto")
    consumer.assign({Partition(options.topic, number): 0 for number in range(options.partitions)})
    print(READY, flush=True)
    left, noted = options.n, []
    while left > 0:
        records = [record for batch in consumer.poll(0.2).records.values() for record in batch]
        if not records:
            continue
        scorer.raw_scores(imputer.impute(decoder.decode(records), last).encode(profile.schema))
        now = time.time()
        noted.append([(record.partition, record.offset, now) for record in records])
        left -= len(records)
    consumer.close()
    columns = np.array([row for rows in noted for row in rows])
    with options.out.open("wb") as file:
        np.savez(
            file,
            partition=columns[:, 0].astype(np.int64),
            offset=columns[:, 1].astype(np.int64),
            acked=columns[:, 2],
        )


if __name__ == "__main__":
    main()
