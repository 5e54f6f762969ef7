from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runtime.database import Database
from tests.unit.api import kit


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    made = kit.database(tmp_path)
    yield made
    made.close()
