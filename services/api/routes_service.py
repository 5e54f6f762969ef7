"""/healthz, /readyz, /metrics and the way from / to the documentation."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from services.api.answers import Health
from services.api.metrics import ApiMetrics

open_router = APIRouter(tags=["service"])
"""Answers without a token: probes hold none."""
metrics_router = APIRouter(tags=["service"])


@open_router.get("/", include_in_schema=False)
def index() -> RedirectResponse:
    """To the documentation."""
    return RedirectResponse("/docs")


@open_router.get("/healthz")
def healthz() -> Health:
    """The process lives."""
    return Health(status="ok")


@open_router.get(
    "/readyz", response_model=Health, responses={503: {"model": Health, "description": "Still catching up."}}
)
def readyz(request: Request) -> JSONResponse:
    """200 once the ingest has caught up with every topic; until then what it waits for."""
    waiting_for: Callable[[], list[str]] = request.app.state.waiting_for
    waiting = waiting_for()
    health = Health(status="not yet" if waiting else "ok", waiting_for=tuple(waiting))
    return JSONResponse(health.model_dump(mode="json"), 503 if waiting else 200)


@metrics_router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus text."}
    },
)
def metrics(request: Request) -> Response:
    """Metrics for Prometheus."""
    known: ApiMetrics = request.app.state.metrics
    known.ready.set(0 if request.app.state.waiting_for() else 1)
    return Response(generate_latest(known.registry), media_type=CONTENT_TYPE_LATEST)
