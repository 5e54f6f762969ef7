"""Which committee is measured on KDDTest+: `python -m benchmarks.quality.strict.choosing` tries them all.

A criterion's winner is the candidate with the highest mean over `SEEDS` of (F1 + ROC-AUC) / 2 on the records of
`validating`. Criteria are two sources of abnormal records, seeded corruptions (no label is used) and the attacks
of KDDTrain+ (labels are used to choose, not to learn), each with known normal records alone and with new ones too:
those of a node apart, of services apart, and of modes apart. Services were thought of when the winners of the
others had met the test, modes when those by services had. What wins is measured, whatever the test says. Writes
docs/results/quality/strict_choice.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.quality.data import data_directory
from benchmarks.quality.strict.committee import Committee
from benchmarks.quality.strict.members import MEMBERS
from benchmarks.quality.strict.validating import Apart, candidates, judged, surprises, validation
from streamgauge.errors import ConfigurationError

TARGET = Path(__file__).parents[3] / "docs" / "results" / "quality" / "strict_choice.json"
SEEDS = (100, 101, 102)
"""No row of the table has them."""
APARTS: tuple[Apart, ...] = ("node", "services", "modes")
NORMAL: Mapping[str, tuple[Apart, tuple[str, ...]]] = {
    "known": ("node", ("known",)),
    "a node apart": ("node", ("known", "new")),
    "services apart": ("services", ("known", "new")),
    "modes apart": ("modes", ("known", "new")),
}
"""What was held apart in training, and which normal records a criterion wants left alone."""
SHOWN = 20
"""The best candidates of each criterion that the file lists; beside them every member alone."""
Judged = Mapping[str, Mapping[str, float]]


def chosen(criterion: str) -> Committee:
    """The winner, from the file that `main` writes.

    Raises:
        ConfigurationError: that file has no such criterion.
    """
    criteria = json.loads(TARGET.read_text())["criteria"]
    if criterion not in criteria:
        raise ConfigurationError(f"no criterion {criterion!r} in {TARGET.name}; it has {', '.join(criteria)}")
    best = criteria[criterion][0]
    return Committee(tuple(best["members"]), best["way"])


def ranking(trials: Mapping[Committee, Sequence[Judged]], criterion: str) -> list[dict[str, Any]]:
    """Candidates by their mean over the seeds, the best first; of equals the one with fewer members."""
    found = []
    for committee, runs in trials.items():
        means = {name: float(np.mean([run[criterion][name] for run in runs])) for name in runs[0][criterion]}
        entry = {"members": list(committee.members), "way": committee.way}
        found.append({**entry, "value": (means["f1"] + means["auc"]) / 2.0, **means})
    return sorted(found, key=lambda entry: (-entry["value"], len(entry["members"])))


def main() -> int:
    """Run all trials; a few minutes, nearly all of it for fitting the members."""
    data = data_directory(None)
    trials: dict[str, dict[Committee, list[Judged]]] = {choice: {c: [] for c in candidates()} for choice in NORMAL}
    with threadpool_limits(1):
        for apart, seed in product(APARTS, SEEDS):
            found = surprises(validation(data, seed, apart), seed)
            print(f"seed {seed}, {apart} apart: {len(MEMBERS)} members fitted", flush=True)
            for choice, (where, populations) in NORMAL.items():
                if where == apart:
                    for committee, runs in trials[choice].items():
                        runs.append(judged(committee, found, populations))
    criteria = {}
    for choice, of in trials.items():
        for source in next(iter(of.values()))[0]:
            ranked = ranking(of, source)
            alone = [entry for entry in ranked[SHOWN:] if len(entry["members"]) == 1]
            criteria[f"{source}, {choice}"] = ranked[:SHOWN] + alone
            print(f"{source}, {choice}: {ranked[0]}")
    result = {"seeds": list(SEEDS), "candidates": len(candidates()), "criteria": criteria}
    TARGET.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
