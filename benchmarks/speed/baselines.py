"""What people write first: one record at a time, behind kafka-python with its defaults.

``naive``: json.loads, one tensor a record, an eager torch autoencoder of the node's size.
``river``: json.loads, HalfSpaceTrees of River (score, then learn), values scaled to 0..1 as it demands.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from benchmarks.speed.sensors import FIELDS

WARM_UP_SHARE = 0.1
Score = Callable[[dict[str, Any]], float]


def naive_scorer() -> Score:
    """An untrained autoencoder: training changes no time."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    sizes = (len(FIELDS), 64, 12, 64, len(FIELDS))
    layers: list[nn.Module] = []
    for i in range(4):
        layers += [nn.Linear(sizes[i], sizes[i + 1]), nn.ELU()]
    model = nn.Sequential(*layers[:-1]).eval()
    mean, scale = torch.full((51,), 20.0), torch.full((51,), 9.0)

    @torch.no_grad()
    def score(record: dict[str, Any]) -> float:
        x = (torch.tensor([record[field] for field in FIELDS]) - mean) / scale
        return float(((model(x) - x) ** 2).mean())

    return score


def river_scorer() -> Score:
    """River's defaults for the trees."""
    from river.anomaly import HalfSpaceTrees

    trees: Any = HalfSpaceTrees(seed=0)

    def score(record: dict[str, Any]) -> float:
        x = {field: (record[field] + 100) / 200 for field in FIELDS}
        result = float(trees.score_one(x))
        trees.learn_one(x)
        return result

    return score


def main() -> None:
    """Read n records and print records a second and a CPU second, after the first tenth."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("naive", "river"))
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--n", type=int, required=True)
    options = parser.parse_args()
    score = {"naive": naive_scorer, "river": river_scorer}[options.kind]()
    consumer = KafkaConsumer(bootstrap_servers=options.bootstrap, auto_offset_reset="earliest")
    consumer.assign([TopicPartition(options.topic, number) for number in range(options.partitions)])
    highest, start, skip = 0.0, (0.0, 0.0), int(WARM_UP_SHARE * options.n)
    for i, record in enumerate(consumer):
        if i == skip:
            start = time.perf_counter(), time.process_time()
        highest = max(highest, score(json.loads(record.value)))
        if i + 1 == options.n:
            break
    wall, cpu, n = time.perf_counter() - start[0], time.process_time() - start[1], options.n - skip
    print(json.dumps({"records_per_s": n / wall, "records_per_core_s": n / cpu, "records": n}), flush=True)
    consumer.close()


if __name__ == "__main__":
    main()
