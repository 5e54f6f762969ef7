"""/alerts and /alerts/{alert_id}."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response

from schemas import Alert
from services.api.answers import AlertPage, Problem
from services.api.examples import ALERT, dump, json_example
from services.api.questions import UUID_PATTERN, AlertQuestion, join_cursor
from services.api.store import Store

router = APIRouter(tags=["alerts"])

_PAGE = {"items": [dump(ALERT)], "next_cursor": join_cursor(1_769_846_400_000_000, str(ALERT.alert_id))}


@router.get("/alerts", response_model=AlertPage, responses=json_example(_PAGE, "One page of alerts."))
def list_alerts(request: Request, question: Annotated[AlertQuestion, Query()]) -> Response:
    """Alerts, open and closed, the latest first record first; each in its newest version."""
    store: Store = request.app.state.store
    rows = store.alerts(question)
    page, more = rows[: question.limit], len(rows) > question.limit
    cursor = f'"{join_cursor(page[-1].first_us, page[-1].alert_id)}"' if more else "null"
    # Bodies are JSON already: parsing them to write them again would be most of the work.
    body = f'{{"items":[{",".join(row.body for row in page)}],"next_cursor":{cursor}}}'
    return Response(body, media_type="application/json")


@router.get(
    "/alerts/{alert_id}",
    response_model=Alert,
    responses={**json_example(dump(ALERT), "The alert."), 404: {"model": Problem, "description": "Unknown id."}},
)
def get_alert(
    request: Request, alert_id: Annotated[str, Path(pattern=UUID_PATTERN, examples=[str(ALERT.alert_id)])]
) -> Response:
    """One alert in its newest version."""
    store: Store = request.app.state.store
    body = store.alert(alert_id.lower())
    if body is None:
        raise HTTPException(404, f"no alert has the id {alert_id}; it may be older than the retention")
    return Response(body, media_type="application/json")
