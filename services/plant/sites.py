"""The simulated plants of a process: made or carried on, attacked on command, saved."""

from __future__ import annotations

import queue
import tomllib
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from services.plant.settings import PlantSettings
from services.runtime.atomic import write_atomic
from streamgauge.errors import ConfigurationError
from streamgauge.plant.attacks import Attack, attack_from
from streamgauge.plant.carrying import carried, carry
from streamgauge.plant.plant import Plant, Reading
from streamgauge.plant.schedule import Schedule

NONE, SCHEDULE = "none", "schedule"


class Sites:
    """All plants, a second at a time in step. `attack` and `begin_schedule` may be called from any thread.

    Args:
        settings: which plants, and what happens to them.
        now: wall time, where event time follows it.

    Raises:
        ConfigurationError: the file of attacks is wrong.
        StateError: a saved state is none, or another's.
    """

    def __init__(self, settings: PlantSettings, now: datetime) -> None:
        self._settings = settings
        start_s = settings.start_s(now)
        schedule = round(settings.calm_s) if settings.attacks == SCHEDULE else None
        self.plants: dict[str, Plant] = {}
        self._orders: queue.SimpleQueue[tuple[str, Attack | Schedule]] = queue.SimpleQueue()
        for number, site in enumerate(settings.sites):
            plan = None if schedule is None else self._schedule(number, schedule)
            saved = self._state_file(site)
            if settings.keeps_state and saved.exists():
                self.plants[site] = carried(saved.read_bytes())
            else:
                self.plants[site] = Plant(self._seed(number), start_s, plan)
        if settings.attacks not in (NONE, SCHEDULE):
            self._from_file(Path(settings.attacks))

    def _seed(self, number: int) -> int:
        return self._settings.seed * 1_000_003 + number

    def _schedule(self, number: int, first: int) -> Schedule:
        """Sites are attacked one after the other, not all at once."""
        calm = self._settings.gap_s
        shift = number * (calm[0] + calm[1]) // (2 * len(self._settings.sites))
        return Schedule(self._seed(number), first + shift, calm)

    def _from_file(self, path: Path) -> None:
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8")).get("attack", [])
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigurationError(
                f"attacks {path}: {error}; give none, schedule or a TOML file with [[attack]] tables"
            ) from None
        for table in tables:
            for site, attack in self.ordered(table):
                if attack.end > self.plants[site].state.step:
                    self.plants[site].attack(attack)

    def ordered(self, values: Mapping[str, Any]) -> list[tuple[str, Attack]]:
        """An attack from a file or a request, for one site (`site`) or, without, for all.

        Raises:
            ConfigurationError: no such site; or see `attack_from`.
        """
        rest = dict(values)
        site = rest.pop("site", None)
        if site is not None and site not in self.plants:
            raise ConfigurationError(f"site {site!r}: use one of {', '.join(self.plants)}")
        chosen = [site] if site is not None else list(self.plants)
        return [(name, attack_from(rest, self.plants[name].state.step)) for name in chosen]

    def attack(self, values: Mapping[str, Any]) -> list[tuple[str, Attack]]:
        """Order an attack; it begins with the next record, or at its `start_s`."""
        orders = self.ordered(values)
        for order in orders:
            self._orders.put(order)
        return orders

    def begin_schedule(self) -> None:
        """Begin the schedule of attacks now."""
        for number, (site, plant) in enumerate(self.plants.items()):
            self._orders.put((site, self._schedule(number, plant.state.step)))

    def seconds(self, count: int) -> Iterator[tuple[str, Reading]]:
        """`count` records of every plant, second by second."""
        while not self._orders.empty():
            site, order = self._orders.get()
            plant = self.plants[site]
            if isinstance(order, Attack):
                plant.attack(order)
            else:
                plant.begin_schedule(order)
        for _ in range(count):
            for site, plant in self.plants.items():
                yield site, plant.step()

    @property
    def event_time_s(self) -> float:
        """Event time of the next record."""
        return max(plant.start_s + plant.state.step for plant in self.plants.values())

    @property
    def passed_s(self) -> int:
        """Records of each plant since its beginning."""
        return max(plant.state.step for plant in self.plants.values())

    def _state_file(self, site: str) -> Path:
        return self._settings.state_dir / f"{site}.plant.json"

    def save(self) -> None:
        """Keep the plants' states, if the settings say so; what was sent since the last time comes again."""
        if self._settings.keeps_state:
            for site, plant in self.plants.items():
                write_atomic(self._state_file(site), carry(plant))
