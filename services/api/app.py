"""The HTTP application: routes, token, limits, request metrics."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi_offline import FastAPIOffline
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api import routes_alerts, routes_federation, routes_models, routes_service
from services.api.answers import Problem
from services.api.metrics import ApiMetrics
from services.api.refusals import refuse
from services.api.store import Store
from services.api.verdicts import Verdicts
from services.runtime.hosts import LOOPBACK_NAMES

DESCRIPTION = """What Streamgauge found: alerts of every site, the models the sites learned together, and how the
rounds and nodes are doing. All of it is read from Kafka; what people can add is their verdict on an alert."""

_bearer = HTTPBearer(auto_error=False, description="The setting api_token.")


@dataclass(frozen=True)
class ApiParts:
    """What the application stands on.

    Attributes:
        store: answers the questions.
        verdicts: takes people's verdicts.
        metrics: shown under /metrics.
        waiting_for: what the ingest still waits for; empty once it has caught up.
        token: every question must carry it; None: only programs of this machine can ask.
        max_request_bytes: largest request body.
        clock: seconds since the epoch.
    """

    store: Store
    verdicts: Verdicts
    metrics: ApiMetrics = field(default_factory=ApiMetrics)
    waiting_for: Callable[[], list[str]] = list
    token: str | None = None
    max_request_bytes: int = 65_536
    clock: Callable[[], float] = time.time


def create_app(parts: ApiParts) -> FastAPI:
    """The application. Without a token it answers only requests addressed to this machine's own names, so that
    no foreign web page can read it through a browser (DNS rebinding). A body must say that it is JSON
    (FastAPI's rule): a browser sends such a body for a foreign page only after asking, and here it is told no.
    """
    # Its documentation page needs nothing from the internet; FastAPI's own loads scripts from elsewhere.
    app = FastAPIOffline(
        title="Streamgauge",
        version=version("streamgauge"),
        description=DESCRIPTION,
        max_body_size=parts.max_request_bytes,
        redoc_url=None,
    )
    app.state.store = parts.store
    app.state.verdicts = parts.verdicts
    app.state.metrics = parts.metrics
    app.state.waiting_for = parts.waiting_for
    app.state.clock = parts.clock
    app.add_exception_handler(RequestValidationError, refuse)
    guard, refusals = _guard(parts.token)
    app.include_router(routes_service.open_router)
    for module in (routes_alerts, routes_models, routes_federation):
        app.include_router(module.router, dependencies=guard, responses=refusals)
    app.include_router(routes_service.metrics_router, dependencies=guard, responses=refusals)
    if parts.token is None:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK_NAMES))
    app.add_middleware(_Measured, metrics=parts.metrics)
    return app


def _guard(token: str | None) -> tuple[list[Any], dict[int | str, dict[str, Any]]]:
    if token is None:
        return [], {}
    expected = token.encode()

    def check(given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> None:
        # Compared in constant time: the time of the answer tells nothing about the token.
        if given is None or not hmac.compare_digest(given.credentials.encode(), expected):
            raise HTTPException(
                401, "send the header Authorization: Bearer <api_token>", {"WWW-Authenticate": "Bearer"}
            )

    return [Depends(check)], {401: {"model": Problem, "description": "The token is missing or wrong."}}


class _Measured:
    """Counts requests and their time by route; paths that are no route share one label."""

    def __init__(self, app: ASGIApp, metrics: ApiMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        begun = time.perf_counter()

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
            self._metrics.requests.labels(method, route, str(status)).inc()
            self._metrics.duration.labels(route).observe(time.perf_counter() - begun)
