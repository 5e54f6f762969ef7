"""Small labelled data without a time as a stream: normal records first, then bursts with attacks, for ever."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from services.replay.chunks import Chunk
from services.replay.options import ReplayOptions
from services.replay.position import Position
from services.replay.scenario import Phase, Rows, Scenario, SiteStream, interleave, share_out
from services.replay.stream import event_step_s
from streamgauge.errors import ConfigurationError
from streamgauge.profiles.loaders.table import Table
from streamgauge.profiles.profile import Profile

_BLOCK = 500


class BurstStream:
    """Records dealt out to the sites, each with phases of its own; all in memory.

    Args:
        table: the data; rows without a label are not used.
        options: bursts, sites, times and seed.
        profile: of the data.
        now_s: wall time, at which event time starts unless the options say otherwise.

    Raises:
        ConfigurationError: no row is normal, or attacks are asked for and there are none.
    """

    def __init__(self, table: Table, options: ReplayOptions, profile: Profile, now_s: float) -> None:
        assert options.bursts is not None
        self._table = table.take(np.flatnonzero(~np.isnan(table.labels)))
        self._options = options
        self._origin, self._every_s = options.start.moment(now_s), event_step_s(options, profile)
        normals = np.flatnonzero(self._table.labels == 0)
        _check(self._table, normals, options.bursts, profile)
        shares = [site.share for site in options.sites]
        self._order = interleave(shares)
        dealt = share_out(normals, shares, options.seed)
        attacks = attacks_of(self._table)
        self._streams = [
            SiteStream(options.bursts.scaled(share / sum(shares)), dealt[number], attacks, seed)
            for number, share in enumerate(shares)
            for seed in [options.seed * 1_000_003 + number + 1]
        ]

    @property
    def ahead(self) -> int:
        """A signal ends the first phase: what comes next is decided when it is sent."""
        return 0

    def begin_bursts(self) -> None:
        """End the first, normal phase now."""
        for stream in self._streams:
            stream.begin_bursts()

    def chunks(self, begin: Position) -> Iterator[Chunk]:
        """Endless, or up to the stop row; always from the beginning."""
        row, stop = 0, self._options.stop_row
        while stop is None or row < stop:
            n = _BLOCK if stop is None else min(_BLOCK, stop - row)
            sites = self._order[np.arange(row, row + n) % len(self._order)]
            rows = np.empty(n, np.int64)
            phases: list[Phase] = []
            for number, stream in enumerate(self._streams):
                pieces = stream.take(int((sites == number).sum()))
                if pieces:
                    rows[sites == number] = np.concatenate([piece.rows for piece in pieces])
                    phases.append(pieces[-1].phase)
            times = self._origin + self._every_s * np.arange(row, row + n, dtype=np.float64)
            yield Chunk(self._table.take(rows), times, times, sites, row, phases[0])
            row += n

    def position_of(self, row: int) -> Position:
        """Of no use: bursts cannot be resumed."""
        return Position(row)


def attacks_of(table: Table) -> dict[str, dict[str, Rows]]:
    """Attack type -> entity -> rows, both sorted."""
    pools: dict[str, dict[str, list[int]]] = {}
    for row in np.flatnonzero(table.labels == 1).tolist():
        pools.setdefault(table.attack_types[row], {}).setdefault(table.entities[row], []).append(row)
    return {
        label: {entity: np.array(rows) for entity, rows in sorted(by_entity.items())}
        for label, by_entity in sorted(pools.items())
    }


def _check(table: Table, normals: NDArray[np.int64], bursts: Scenario, profile: Profile) -> None:
    if not len(normals):
        kinds = sorted(set(table.attack_types.tolist()))[:10]
        said = f"[label] normal = {list(profile.label.normal)}" if profile.label else "it has no [label]"
        raise ConfigurationError(
            f"--bursts needs normal records and there are none: the labels are {', '.join(kinds) or 'missing'}; "
            f"{said} in profile {profile.name!r}"
        )
    if bursts.attack_share > 0 and len(normals) == len(table):
        raise ConfigurationError(
            f"every record is normal, but --bursts asks for {bursts.attack_share:.0%} attacks: say share=0, or "
            f"check [label] normal in profile {profile.name!r}"
        )
