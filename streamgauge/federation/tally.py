"""Counting votes: by site, so that nobody gains by running more nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

VETO_ALONE_UP_TO = 2
"""With so few sites voting, one veto rejects; beyond, more than half must veto."""


class Verdict(NamedTuple):
    """Result of a vote.

    Attributes:
        approved: whether the candidate may be released.
        vetoed: rejected by vetoes, not for lack of votes.
        reason: for people.
    """

    approved: bool
    vetoed: bool
    reason: str


def site_votes(votes: Mapping[str, bool], sites: Mapping[str, str]) -> dict[str, bool]:
    """What each site says: approve if more than half of its voting nodes do."""
    by_site: dict[str, list[bool]] = {}
    for node in sorted(votes):
        by_site.setdefault(sites[node], []).append(votes[node])
    return {site: 2 * sum(says) > len(says) for site, says in by_site.items()}


def tally(votes: Mapping[str, bool], sites: Mapping[str, str]) -> Verdict:
    """Decide on a candidate.

    Args:
        votes: node -> approve, of the nodes that voted.
        sites: node -> site, of all that were asked.
    """
    by_site = site_votes(votes, sites)
    asked, voting = len(set(sites.values())), len(by_site)
    if 2 * voting < asked or voting == 0:
        return Verdict(False, False, f"{voting} of {asked} sites voted; at least half are needed")
    vetoes = voting - sum(by_site.values())
    rejected = vetoes > 0 if voting <= VETO_ALONE_UP_TO else 2 * vetoes > voting
    text = f"{voting - vetoes} of {voting} voting sites approve"
    return Verdict(not rejected, rejected, text)
