"""Makes `nsl_kdd_sample.csv.gz` from the published KDDTrain+: stratified, seeded, the same bytes every time.

Usage::

    STREAMGAUGE_DATA=<folder with nsl-kdd/> python services/replay/samples/make_nsl_kdd.py
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import sys
from pathlib import Path

import numpy as np

SEED = 20_090_708
NORMAL = 20_000
"""Normal records kept, drawn evenly."""
PER_TYPE = 700
"""At most this many of an attack type; rare types are kept whole."""
TARGET = Path(__file__).with_name("nsl_kdd_sample.csv.gz")
HEADER = (
    "duration,protocol_type,service,flag,src_bytes,dst_bytes,land,wrong_fragment,urgent,hot,"
    "num_failed_logins,logged_in,num_compromised,root_shell,su_attempted,num_root,"
    "num_file_creations,num_shells,num_access_files,num_outbound_cmds,is_host_login,is_guest_login,"
    "count,srv_count,serror_rate,srv_serror_rate,rerror_rate,srv_rerror_rate,same_srv_rate,"
    "diff_srv_rate,srv_diff_host_rate,dst_host_count,dst_host_srv_count,dst_host_same_srv_rate,"
    "dst_host_diff_srv_rate,dst_host_same_src_port_rate,dst_host_srv_diff_host_rate,"
    "dst_host_serror_rate,dst_host_srv_serror_rate,dst_host_rerror_rate,dst_host_srv_rerror_rate,"
    "label"
)
"""The published file has no header; its 43rd column, the difficulty, is left out."""


def sample(rows: list[list[str]], generator: np.random.Generator) -> list[list[str]]:
    """`NORMAL` normal records and up to `PER_TYPE` of each attack type, in random order."""
    labels = np.array([row[41] for row in rows])
    chosen = []
    for label in sorted(set(labels.tolist())):
        pool = np.flatnonzero(labels == label)
        wanted = min(len(pool), NORMAL if label == "normal" else PER_TYPE)
        chosen.append(generator.choice(pool, wanted, replace=False))
    return [rows[i][:42] for i in generator.permutation(np.concatenate(chosen)).tolist()]


def main() -> None:
    """Read, draw, write."""
    if "STREAMGAUGE_DATA" not in os.environ:
        sys.exit("STREAMGAUGE_DATA is not set: name the folder that holds nsl-kdd/KDDTrain+.txt.gz")
    source = Path(os.environ["STREAMGAUGE_DATA"]) / "nsl-kdd" / "KDDTrain+.txt.gz"
    with gzip.open(source, "rt", encoding="ascii", newline="") as file:
        rows = list(csv.reader(file))
    text = io.StringIO()
    text.write(f"{HEADER}\n")
    csv.writer(text, lineterminator="\n").writerows(sample(rows, np.random.default_rng(SEED)))
    TARGET.write_bytes(gzip.compress(text.getvalue().encode("ascii"), compresslevel=9, mtime=0))
    print(f"{TARGET.name}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
