"""/rounds and /nodes."""

from __future__ import annotations

from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request

from schemas import NodeStatus, RoundCandidate, RoundClosed, RoundPlan
from services.api.answers import NodeInfo, NodeList, RoundInfo, RoundPage
from services.api.examples import CLOSED, PLAN, STATUS, dump, json_example
from services.api.questions import FederationQuestion, RoundQuestion, join_cursor
from services.api.rows import from_micros
from services.api.store import Store

router = APIRouter(tags=["federation"])

_ROUND = RoundInfo(
    federation="default",
    round=3,
    state="released",
    last_message_at=CLOSED.closed_at,
    plan=PLAN,
    candidate=None,
    closed=CLOSED,
)
_NODE = NodeInfo(status=STATUS, last_report_at=STATUS.at, silent_s=1.5)


def _round(row: sa.Row[Any]) -> RoundInfo:
    return RoundInfo(
        federation=row.federation,
        round=row.round,
        state=row.outcome or "open",
        last_message_at=from_micros(row.arrived_us),
        plan=RoundPlan.read(row.plan) if row.plan else None,
        candidate=RoundCandidate.read(row.candidate) if row.candidate else None,
        closed=RoundClosed.read(row.closed) if row.closed else None,
    )


@router.get(
    "/rounds", responses=json_example({"items": [dump(_ROUND)], "next_cursor": None}, "One page of rounds.")
)
def list_rounds(request: Request, question: Annotated[RoundQuestion, Query()]) -> RoundPage:
    """Rounds, newest first, with all that the aggregator said about them."""
    store: Store = request.app.state.store
    rows = store.rounds(question)
    page = rows[: question.limit]
    cursor = join_cursor(page[-1].round, page[-1].federation) if len(rows) > question.limit else None
    return RoundPage(items=tuple(map(_round, page)), next_cursor=cursor)


@router.get("/nodes", responses=json_example({"items": [dump(_NODE)]}, "All known nodes."))
def list_nodes(request: Request, question: Annotated[FederationQuestion, Query()]) -> NodeList:
    """The newest report of every node, and how long ago it came."""
    store: Store = request.app.state.store
    now: float = request.app.state.clock()
    return NodeList(
        items=tuple(
            NodeInfo(
                status=NodeStatus.read(row.body),
                last_report_at=from_micros(row.arrived_us),
                silent_s=max(0.0, now - row.arrived_us / 1e6),
            )
            for row in store.nodes(question.federation)
        )
    )
