from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import pytest

from services.runtime.settings import ServiceSettings, load_settings

Load = Callable[[type[ServiceSettings], Mapping[str, str]], ServiceSettings]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Settings as a process with these variables reads them, and no others of ours."""

    def loaded(cls: type[ServiceSettings], variables: Mapping[str, str]) -> ServiceSettings:
        for name in [name for name in os.environ if name.startswith("STREAMGAUGE_")]:
            monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return load_settings(cls)

    return loaded
