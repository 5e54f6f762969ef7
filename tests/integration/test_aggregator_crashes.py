"""Kill -9 of the aggregator just before and just after every commit and every delivery."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.aggregator.build import MIGRATIONS
from services.runtime.database import open_database
from tests.integration.aggregator_world import CrashError, Fuse, M, World

NAMES = ("a/1", "b/1")
RELEASES = 2


def _run(directory: Path, template: Path, crash_at: int) -> World:
    """An agreement and a training round, with one crash."""
    world = World(directory, NAMES, template)
    fused = Fuse(crash_at)
    try:
        world.start(fused)
    except CrashError:
        world.start()
    for _ in range(100):
        if len(_once(world.closed)) == RELEASES:
            break
        try:
            world.turn(one_by_one=True)
        except CrashError:
            world.start()
    world.database.close()
    assert crash_at in (0, fused.steps)
    return world


def _once(messages: list[M]) -> list[M]:
    """Without repeats; what is repeated must be the same, but for where an artefact was sent again."""
    seen: dict[str, M] = {}
    for message in messages:
        key = message.model_dump_json(exclude={"weights": {"offset"}, "statistics": {"offset"}})
        seen.setdefault(key, message)
    return list(seen.values())


def _outcome(world: World) -> list[tuple[object, ...]]:
    releases = [(r.release_seq, r.version, r.weights.sha256, r.statistics) for r in _once(world.releases)]
    for release in world.releases:
        world.artefact(release.weights.offset, release.weights.sha256)
    assert [r.release_seq for r in world.releases] == sorted(r.release_seq for r in world.releases)
    return [
        (seq, version, sha, statistics.sha256 if statistics else None)
        for seq, version, sha, statistics in releases
    ]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "aggregator.sqlite"
    open_database(f"sqlite:///{path}", MIGRATIONS).close()
    return path


def test_a_crash_at_any_step_changes_nothing(tmp_path: Path, template: Path) -> None:
    clean = _run(tmp_path / "clean", template, 0)
    expected, steps = _outcome(clean), clean.fuse.steps
    assert [row[0] for row in expected] == [1, 2]
    assert steps > 50
    for crash_at in range(1, steps + 1):
        world = _run(tmp_path / str(crash_at), template, crash_at)
        assert _outcome(world) == expected, f"after a crash at step {crash_at}"
        closed = _once(world.closed)
        assert [c.round for c in closed] == [0, 1], f"after a crash at step {crash_at}"
        assert all(c.outcome == "released" for c in closed)
