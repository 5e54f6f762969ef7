from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from services.api.build import MIGRATIONS
from services.api.tables import CONSUMED, METADATA
from services.runtime.database import Database, load_offsets, open_database, save_offsets
from services.runtime.errors import SettingsError
from services.runtime.log import Outgoing, Partition
from services.runtime.memory import MemoryBroker
from services.runtime.positions import ReadPosition, resume
from tests.unit.api import kit


def test_migrations_make_the_tables_of_the_code(store: Database) -> None:
    with store.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    store = kit.database(tmp_path)
    with store.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    with pytest.raises(SettingsError, match="newer version"):
        kit.database(tmp_path)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "is not a URL"),
        ("mysql://u:hidden@h/x", "allowed are sqlite and postgresql"),
        ("sqlite://", "needs a file"),
        ("sqlite:////dev/null/x.sqlite", "cannot be made"),
        ("postgresql://u:hidden@127.0.0.1:1/x", "Connection refused"),
    ],
)
def test_wrong_urls(url: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        open_database(url, MIGRATIONS)
    assert "hidden" not in str(caught.value)


def test_offsets_and_rows_are_written_together_or_not_at_all(store: Database) -> None:
    at = Partition("t", 0)

    def write(offset: int, fail: bool) -> None:
        with store.write() as connection:
            save_offsets(connection, CONSUMED, {at: ReadPosition(offset, "life")}, "here")
            if fail:
                raise KeyboardInterrupt

    write(5, fail=False)
    with pytest.raises(KeyboardInterrupt):
        write(9, fail=True)
    with store.read() as connection:
        assert load_offsets(connection, CONSUMED, "here") == {at: ReadPosition(5, "life")}
        assert load_offsets(connection, CONSUMED, "elsewhere") == {}


def test_writers_of_two_processes_take_turns(tmp_path: Path) -> None:
    stores = [kit.database(tmp_path) for _ in range(2)]  # each has its own lock, as two processes have

    def add(store: Database) -> None:
        for _ in range(25):
            with store.write() as connection:
                known = load_offsets(connection, CONSUMED).get(Partition("t", 0), ReadPosition(0, ""))
                save_offsets(connection, CONSUMED, {Partition("t", 0): ReadPosition(known.next_offset + 1, "")})

    threads = [threading.Thread(target=add, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with stores[0].read() as connection:
        assert load_offsets(connection, CONSUMED)[Partition("t", 0)].next_offset == 50
    for store in stores:
        store.close()


def test_resume_where_it_ended_unless_the_log_is_another() -> None:
    broker = MemoryBroker()
    broker.create_topic("t")
    broker.producer().deliver([Outgoing("t", b"k", b"v")] * 10)
    at = Partition("t", 0)
    consumer = broker.consumer()
    life = consumer.topic_id("t") or ""
    assert resume(consumer, [at], {}) == {at: ReadPosition(0, life)}
    assert resume(consumer, [at], {at: (7, life)}) == {at: ReadPosition(7, life)}
    assert resume(consumer, [at], {at: (7, "former")}) == {at: ReadPosition(0, life)}
    assert resume(consumer, [at], {at: (11, life)}) == {at: ReadPosition(0, life)}
    broker.delete_records(at, 8)
    assert resume(consumer, [at], {at: (7, life)}) == {at: ReadPosition(8, life)}
