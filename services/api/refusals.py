"""Why a question was refused, in words: what FastAPI says, without regular expressions."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response
from fastapi.exception_handlers import request_validation_exception_handler
from fastapi.exceptions import RequestValidationError

_LINE = "one line of 200 characters at most, at least one of them to be seen, and no control characters"
_PATTERNS = {
    "cursor": "not a cursor: take next_cursor of the page before, as it is",
    "alert_id": "not an alert's id: such an id looks like 123e4567-e89b-12d3-a456-426614174000",
    "by": _LINE,
    "attack_type": _LINE,
    "comment": "a comment may not hold the character U+0000",
}
_NAME = "a name has letters, digits and . _ / -, begins with a letter or digit and has 200 characters at most"


async def refuse(request: Request, error: Exception) -> Response:
    """The answer 422 in FastAPI's own shape, with `msg` in words."""
    assert isinstance(error, RequestValidationError)
    told = [_told(dict(each), request) for each in error.errors()]
    return await request_validation_exception_handler(request, RequestValidationError(told))


def _told(problem: dict[str, Any], request: Request) -> dict[str, Any]:
    place, name = str(problem["loc"][0]), str(problem["loc"][-1])
    if problem["type"] == "extra_forbidden":
        known = ", ".join(_known(request, place))
        kind = "field" if place == "body" else "filter"
        problem["msg"] = f"there is no {kind} {name!r}; known: {known}"
    elif problem["type"] == "string_pattern_mismatch":
        problem["msg"] = _PATTERNS.get(name, _NAME)
        problem.pop("ctx", None)
    return problem


def _known(request: Request, place: str) -> list[str]:
    """The query parameters of the route that was asked, or the fields of its body."""
    dependant = getattr(request.scope.get("route"), "dependant", None)
    models = [p.field_info.annotation for p in getattr(dependant, f"{place}_params", ())]
    return sorted({name for model in models for name in getattr(model, "model_fields", {})})
