"""What the last records of a sequence show together: how far a column came, its mean, how long it stood still.

Ours. One record of a process may be usual while the last ones together are not: a tank fills though nothing
flows in, a reading no longer moves. Windows and a live stream give the same figures, because both look at the last
`span` records and no further. Imports torch only when called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch


class Recent(NamedTuple):
    """The last records of every record of packed sequences (see `SequenceDetector.forecast`).

    Attributes:
        rows: (k, width), remembered ones before the given ones.
        places: (span, n) int64 in `rows`: of each record itself, of the one before it, and so on; where a sequence
            is not known that far back, its first known record.
        known: (n,) int64, how many of the records before are known, at most span - 1.
        state: (m, recent_size) after the last record of each sequence.
    """

    rows: torch.Tensor
    places: torch.Tensor
    known: torch.Tensor
    state: torch.Tensor


def recent_size(width: int, span: int) -> int:
    """float32 numbers of state: the records before, and how many there are."""
    return (span - 1) * width + 1


def look_back(x: torch.Tensor, sizes: torch.Tensor, state: torch.Tensor, span: int) -> Recent:
    """The last `span` records of every record.

    Args:
        x: (n, width), packed: the first record of every sequence, then the second ones, and so on.
        sizes: (longest,) int64, sequences with a record at each step, falling; sizes[0] = m.
        state: (m, recent_size), zeros where nothing is known.
        span: at least 2.
    """
    import torch

    m, width, before = len(state), x.shape[1], span - 1
    remembered = state[:, 1:].reshape(m, before, width).transpose(0, 1).reshape(before * m, width)
    rows = torch.cat([remembered, x])
    # What is remembered stands before the given records like further steps that every sequence has.
    first = torch.cat([torch.full((before,), m), sizes]).cumsum(0).roll(1)  # place of each step's first record
    first[0] = 0
    step = torch.arange(len(sizes)).repeat_interleave(sizes)
    which = torch.arange(len(x)) + before * m - first[step + before]
    known = (state[which, 0].long() + step).clamp(max=before)
    back = torch.minimum(torch.arange(span)[:, None], known)
    places = first[step + before - back] + which
    lengths = torch.searchsorted(-sizes, -torch.arange(m))  # (m,) steps of each sequence: sizes fall
    last = first[lengths[:, None] + torch.arange(before)] + torch.arange(m)[:, None]  # (m, span - 1), oldest first
    count = (state[:, 0] + lengths).clamp(max=before)
    return Recent(rows, places, known, torch.cat([count[:, None], rows[last].reshape(m, -1)], dim=1))


def oldest(recent: Recent) -> torch.Tensor:
    """(n, width) the record `span` - 1 before each, or the first known one."""
    return recent.rows[recent.places[-1]]


def mean(recent: Recent) -> torch.Tensor:
    """(n, width) mean over the last `span` records; the first known one stands for those before it."""
    total = recent.rows[recent.places[0]]
    for place in recent.places[1:]:
        total = total + recent.rows[place]
    return total / len(recent.places)


def stillness(recent: Recent) -> torch.Tensor:
    """(n, width) share of the last `span` - 1 steps, counted from the newest, over which a column did not move."""
    import torch

    still = torch.ones_like(recent.rows[recent.places[0]])
    total = torch.zeros_like(still)
    for i in range(len(recent.places) - 1):
        newer, older = recent.rows[recent.places[i]], recent.rows[recent.places[i + 1]]
        still = still * ((newer == older) & (recent.known > i)[:, None])
        total = total + still
    return total / (len(recent.places) - 1)
