"""The API on PostgreSQL: the same rows and the same answers as on SQLite.

Runs a PostgreSQL of its own (Debian's binaries) on a free port of this machine, ended afterwards.
"""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from starlette.testclient import TestClient

from services.api.build import MIGRATIONS
from services.api.ingest import Ingest
from services.api.metrics import ApiMetrics
from services.api.tables import ALERTS, METADATA
from services.runtime.brokers.process import free_port
from services.runtime.database import Database, open_database
from services.runtime.processes import die_with_parent
from tests.unit.api import kit
from tests.unit.api.test_app import client, fill
from tests.unit.api.test_housekeeping import keeper
from tests.unit.api.test_ingest import DyingDatabase, everything

START_S = 60


def _binaries() -> Path | None:
    found = shutil.which("postgres")
    if found is not None:
        return Path(found).parent
    return next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)


def _user() -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    try:
        account = pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("PostgreSQL does not run as root and there is no user postgres")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """URL of an empty PostgreSQL, without a database name."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL binaries (Debian package postgresql)")
    pytest.importorskip("psycopg", reason="extra postgres is not installed")
    who = _user()
    directory = Path(tempfile.mkdtemp(prefix="streamgauge-pg-"))
    if who:
        os.chown(directory, who["user"], who["group"])
    data, port = directory / "data", free_port()
    name = "postgres" if who else getpass.getuser()
    subprocess.run(
        [binaries / "initdb", "-D", data, "-A", "trust", "-U", name, "-E", "UTF8", "--no-sync"],
        check=True,
        capture_output=True,
        cwd=directory,
        timeout=START_S,
        **who,
    )
    arguments = ["-p", str(port), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-k", str(directory)]
    process = subprocess.Popen(
        [binaries / "postgres", "-D", data, *arguments],
        cwd=directory,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=die_with_parent,
        **who,
    )
    url = f"postgresql+psycopg://{name}@127.0.0.1:{port}"
    try:
        _wait_for(url)
        yield url
    finally:
        process.send_signal(signal.SIGINT)  # fast: does not wait for open connections
        process.wait(START_S)
        shutil.rmtree(directory)


def _wait_for(url: str) -> None:
    engine = sa.create_engine(f"{url}/postgres", poolclass=sa.NullPool)
    deadline = time.monotonic() + START_S
    while True:
        try:
            engine.connect().close()
            return
        except sa.exc.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.fixture
def url(server: str) -> str:
    """URL of a new database, in the form that people write."""
    name = f"test_{uuid.uuid4().hex}"
    engine = sa.create_engine(f"{server}/postgres", poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    return f"{server}/{name}".replace("postgresql+psycopg", "postgresql")


@pytest.fixture
def postgres(url: str) -> Iterator[Database]:
    made = open_database(url, MIGRATIONS)
    yield made
    made.close()


def test_migrations_make_the_tables_of_the_code(postgres: Database) -> None:
    with postgres.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_two_processes_may_migrate_at_once(url: str) -> None:
    code = f"from services.runtime.database import open_database as o; o({url!r}, {MIGRATIONS!r}).close()"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]


QUESTIONS = (
    "/alerts",
    "/alerts?limit=2&cursor=1769846406000000_00000000-0000-0000-0000-000000000006",
    "/alerts?entity=%00%20%C3%BC",
    "/alerts?state=closed&min_score=1.5&since=2026-01-31T08:00:02Z&until=2026-01-31T08:00:06Z",
    "/alerts/00000000-0000-0000-0000-000000000005",
    "/models",
    "/models/1.1",
    "/models/1.2?federation=default",
    "/models/1.2/weights",
    "/releases?limit=2",
    "/releases?limit=2&cursor=2_default",
    "/rounds",
    "/rounds?outcome=released",
)


def test_same_answers_as_on_sqlite(postgres: Database, tmp_path: Path) -> None:
    broker = kit.broker()
    sqlite = kit.database(tmp_path)
    for store in (sqlite, postgres):
        fill(broker, store)
    with client(sqlite) as one, client(postgres) as two:
        for question in QUESTIONS:
            assert _without_arrival(one, question) == _without_arrival(two, question), question
        assert len(two.get("/nodes").json()["items"]) == 2
    sqlite.close()


def _without_arrival(api: TestClient, question: str) -> Any:
    answer = api.get(question)
    if answer.headers["content-type"] != "application/json":
        return answer.content
    body = answer.json()
    for item in body.get("items", ()):
        item.pop("last_message_at", None)
    return answer.status_code, body


@pytest.mark.parametrize("committed", [False, True])
def test_killed_at_any_transaction_same_rows_as_on_sqlite(
    postgres: Database, tmp_path: Path, committed: bool
) -> None:
    broker = kit.broker()
    broker.producer().deliver(everything())
    for die_at in (1, 2, 3, 1, 2):
        dying = DyingDatabase(postgres, die_at, committed)
        reader = Ingest("memory", broker.consumer, dying, kit.handlers(), ApiMetrics())
        with pytest.raises(KeyboardInterrupt):
            kit.catch_up(reader)
    kit.catch_up(kit.ingest(broker, postgres))
    sqlite = kit.database(tmp_path)
    kit.catch_up(kit.ingest(broker, sqlite))
    assert kit.contents(postgres) == kit.contents(sqlite)
    sqlite.close()


def test_old_rows_go(postgres: Database, tmp_path: Path) -> None:
    broker = kit.broker()
    broker.producer().deliver([*everything(), kit.sealed(kit.alert(7, entity="\0" + "ü" * 999))])
    kit.catch_up(kit.ingest(broker, postgres))
    assert keeper(postgres, tmp_path, time.time() + 40 * 86_400).step()["alerts"] == 900
    with postgres.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(ALERTS)) == 0
