"""The trainer process: `python -m services.edge_node.trainer`. Niced, one torch thread, ends with its parent.

Each line on stdin is the path of a job file; the answer is one line on stdout: the path of the result file, or
``error <reason>``. End of input ends the process.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from services.edge_node.jobs import run
from services.runtime.atomic import write_atomic
from services.runtime.processes import die_with_parent
from services.runtime.tensorfile import dump_tensors, load_tensors
from streamgauge.errors import StreamgaugeError

NICENESS = 19


def main() -> None:
    """Serve jobs until the input ends."""
    die_with_parent()
    os.nice(NICENESS)
    import torch

    torch.set_num_threads(1)
    for line in sys.stdin:
        job = Path(line.rstrip("\n"))
        try:
            result = job.with_suffix(".result")
            write_atomic(result, dump_tensors(*run(*load_tensors(job.read_bytes()))))
            answer = str(result)
        except StreamgaugeError as error:
            answer = f"error {error}".replace("\n", " ")
        print(answer, flush=True)


if __name__ == "__main__":
    main()
