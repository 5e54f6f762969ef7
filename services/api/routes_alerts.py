"""/alerts, /alerts/{alert_id} and the verdict on an alert."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response

from services.api.answers import AlertInfo, AlertPage, Problem, VerdictGiven, VerdictInfo
from services.api.examples import ALERT, VERDICT, dump, json_example
from services.api.questions import UUID_PATTERN, AlertQuestion, join_cursor
from services.api.store import Store
from services.api.verdicts import NoSuchAlertError, NoWayError, Verdicts, shown

router = APIRouter(tags=["alerts"])

AlertId = Annotated[str, Path(pattern=UUID_PATTERN, examples=[str(ALERT.alert_id)])]
_UNKNOWN: dict[str, Any] = {"model": Problem, "description": "Unknown id."}
_PAGE = {"items": [dump(ALERT)], "next_cursor": join_cursor(1_769_846_400_000_000, str(ALERT.alert_id))}


@router.get("/alerts", response_model=AlertPage, responses=json_example(_PAGE, "One page of alerts."))
def list_alerts(request: Request, question: Annotated[AlertQuestion, Query()]) -> Response:
    """Alerts, open and closed, the latest first record first; each in its newest version."""
    store: Store = request.app.state.store
    rows = store.alerts(question)
    page, more = rows[: question.limit], len(rows) > question.limit
    cursor = f'"{join_cursor(page[-1].first_us, page[-1].alert_id)}"' if more else "null"
    # Bodies are JSON already: parsing them to write them again would be most of the work.
    body = f'{{"items":[{",".join(shown(row.body, row.verdict) for row in page)}],"next_cursor":{cursor}}}'
    return Response(body, media_type="application/json")


@router.get(
    "/alerts/{alert_id}",
    response_model=AlertInfo,
    responses={**json_example(dump(ALERT), "The alert."), 404: _UNKNOWN},
)
def get_alert(request: Request, alert_id: AlertId) -> Response:
    """One alert in its newest version."""
    store: Store = request.app.state.store
    found = store.alert(alert_id.lower())
    if found is None:
        raise HTTPException(404, _no_alert(alert_id))
    return Response(shown(found.body, found.verdict), media_type="application/json")


@router.post(
    "/alerts/{alert_id}/verdict",
    response_model=VerdictInfo,
    responses={
        **json_example(dump(VERDICT), "The verdict as it is kept."),
        400: {"model": Problem, "description": "The body is not JSON."},
        404: _UNKNOWN,
        409: {"model": Problem, "description": "The alert's cluster is not among those of the settings."},
    },
)
def give_verdict(request: Request, alert_id: AlertId, given: VerdictGiven) -> VerdictInfo:
    """Say what an alert was. The newest verdict counts; nodes learn from it (ADR 038)."""
    verdicts: Verdicts = request.app.state.verdicts
    try:
        return verdicts.give(alert_id.lower(), given)
    except NoSuchAlertError:
        raise HTTPException(404, _no_alert(alert_id)) from None
    except NoWayError as error:
        raise HTTPException(
            409, f"the cluster of the alert ({error}) is not among the setting records: add it, then try again"
        ) from None


def _no_alert(alert_id: str) -> str:
    return f"no alert has the id {alert_id}; it may be older than the retention"
