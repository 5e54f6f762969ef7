"""Self-reported record counts, capped: nobody buys influence with a number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from statistics import median_low


def cap_counts(counts: Mapping[str, int], sites: Mapping[str, str], multiple: float) -> dict[str, float]:
    """Cap each site's records at a multiple of the median site's.

    The lower median is taken, so that with two sites the smaller one sets the scale. A site that is over the cap
    has the counts of its nodes shrunk by one factor.

    Args:
        counts: node -> records, at least 1 each. Not modified.
        sites: node -> site, for every node of `counts`.
        multiple: at least 1.
    Returns:
        node -> capped records, in the order of the names.

    >>> cap_counts({"a": 100, "b": 10**9, "c": 200}, {"a": "a", "b": "b", "c": "c"}, 10)
    {'a': 100.0, 'b': 2000.0, 'c': 200.0}
    """
    if multiple < 1:
        raise ValueError(f"the cap is {multiple} times the median; it must be at least 1")
    if not counts:
        return {}
    totals: defaultdict[str, int] = defaultdict(int)
    for node, count in counts.items():
        totals[sites[node]] += count
    cap = multiple * median_low(totals.values())
    factors = {site: min(1.0, cap / total) if total else 1.0 for site, total in totals.items()}
    return {node: counts[node] * factors[sites[node]] for node in sorted(counts)}
