"""The aggregator on PostgreSQL: the same rounds, also after crashes."""

from __future__ import annotations

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from services.aggregator.tables import METADATA
from tests.integration import test_api_postgres
from tests.integration.aggregator_world import CrashError, Fuse, World

server = test_api_postgres.server
url = test_api_postgres.url


def test_rounds_and_crashes_on_postgresql(tmp_path: Path, url: str) -> None:
    world = World(tmp_path, ("a/1", "b/1"), database_url=url, keep_models=2)
    with world.database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    for crash_at in range(2, 40, 3):
        try:
            world.start(Fuse(crash_at))
            for _ in range(40):
                world.turn()
        except CrashError:
            world.start()
    world.until(lambda: world.releases[-1].release_seq >= 4)
    numbers = [release.release_seq for release in world.releases]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(1, numbers[-1] + 1))
    assert {closed.outcome for closed in world.closed} == {"released"}
    world.close()
