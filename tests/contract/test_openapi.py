"""The OpenAPI document against the application: every answer is documented, every example is right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, given, settings
from pydantic import TypeAdapter
from schemathesis import GenerationMode

from services.api import routes_alerts, routes_federation, routes_models
from services.api.app import ApiParts, create_app
from services.api.store import Store
from tests.unit.api import kit
from tests.unit.api.test_app import TOKEN, fill

PATHS = (
    "/alerts",
    "/alerts/{alert_id}",
    "/alerts/{alert_id}/verdict",
    "/healthz",
    "/metrics",
    "/models",
    "/models/{version}",
    "/models/{version}/weights",
    "/nodes",
    "/readyz",
    "/releases",
    "/rounds",
)
EXAMPLES = 15
# Nothing can be asked wrongly of the probes: they take no parameters and no token.
CASES = [(path, GenerationMode.POSITIVE) for path in PATHS] + [
    (path, GenerationMode.NEGATIVE) for path in PATHS if path not in ("/healthz", "/readyz")
]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    store = kit.database(Path(tmp_path_factory.mktemp("openapi")))
    fill(kit.broker(), store)
    yield create_app(ApiParts(Store(store), kit.verdicts(store), token=TOKEN))
    store.close()


@pytest.mark.parametrize(("path", "mode"), CASES)
def test_answers_are_as_documented(app: FastAPI, path: str, mode: GenerationMode) -> None:
    # Loaded anew for each: what the document keeps between tests would make one's examples depend on the others.
    operation = schemathesis.openapi.from_asgi("/openapi.json", app)[path][
        "POST" if path.endswith("/verdict") else "GET"
    ]

    # Not schemathesis' own pytest plugin: it does not know this pytest's node ids.
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def check(case: Any) -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"})

    check()


def test_every_path_is_tested(app: FastAPI) -> None:
    assert sorted(app.openapi()["paths"]) == list(PATHS)


def test_examples_are_right() -> None:
    modules = (routes_alerts, routes_models, routes_federation)
    routes = [route for module in modules for route in module.router.routes if isinstance(route, APIRoute)]
    checked = 0
    for route in routes:
        example = route.responses[200]["content"].get("application/json", {}).get("example")
        if example is not None:
            model: TypeAdapter[Any] = TypeAdapter(route.response_model)
            assert model.dump_python(model.validate_python(example), mode="json") == example, route.path
            checked += 1
    assert checked == 8


def test_everything_is_described(app: FastAPI) -> None:
    for path, methods in app.openapi()["paths"].items():
        for operation in methods.values():
            assert operation["description"], path
            assert operation["tags"], path
