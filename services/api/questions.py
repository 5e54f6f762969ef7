"""What can be asked: the query parameters of every list, strict (an unknown or misspelt one is an error)."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

_ISO = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$"
UUID_PATTERN = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
ALERT_CURSOR = r"^-?[0-9]{1,18}_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
NUMBER_CURSOR = r"^[0-9]{1,18}_[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$"


def _iso(value: Any) -> Any:
    # Pydantic would also take a bare number as seconds; a time should look like one.
    if isinstance(value, datetime) or (isinstance(value, str) and _ISO.fullmatch(value)):
        return value
    raise ValueError("write an ISO 8601 time with a zone, e.g. 2026-01-31T08:00:00Z")


NameFilter = Annotated[str, Field(max_length=200, pattern=_NAME)]
Time = Annotated[AwareDatetime, BeforeValidator(_iso)]


class _Question(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Page(_Question):
    limit: int = Field(default=100, ge=1, le=500, description="Most entries of one page.")


class AlertQuestion(_Page):
    """Filters of /alerts; all must hold."""

    federation: NameFilter | None = None
    detector: NameFilter | None = None
    site: NameFilter | None = None
    node: NameFilter | None = Field(default=None, examples=["plant-a/w1"])
    entity: str | None = Field(default=None, max_length=1000, examples=["pump-7"])
    since: Time | None = Field(
        default=None, description="Its last abnormal record is at or after this event time."
    )
    until: Time | None = Field(default=None, description="Its first abnormal record is before this event time.")
    min_score: float | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="At least this; 1 is the alarm line.", examples=[2.0]
    )
    state: Literal["open", "opened", "closed"] | None = Field(
        default=None, description="Only closed ones, or only those still open; opened means open, too."
    )
    verdict: Literal["attack", "false_alarm", "unknown", "none"] | None = Field(
        default=None, description="Only those with this verdict; none: only those that nobody has judged."
    )
    cursor: str | None = Field(default=None, pattern=ALERT_CURSOR, description="next_cursor of the page before.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.since is not None and self.until is not None and self.since > self.until:
            raise ValueError(f"since={self.since.isoformat()} is later than until={self.until.isoformat()}")
        return self


class FederationQuestion(_Question):
    """Which federation, where there are several."""

    federation: NameFilter | None = Field(default=None, examples=["default"])


class ReleaseQuestion(_Page):
    """Filters of /releases and /models."""

    federation: NameFilter | None = Field(default=None, examples=["default"])
    cursor: str | None = Field(default=None, pattern=NUMBER_CURSOR, description="next_cursor of the page before.")


class RoundQuestion(ReleaseQuestion):
    """Filters of /rounds."""

    outcome: Literal["released", "rejected", "abandoned"] | None = None


def split_cursor(cursor: str) -> tuple[int, str]:
    """The two parts of a cursor that fits its pattern."""
    number, _, rest = cursor.partition("_")
    return int(number), rest


def join_cursor(number: int, rest: str) -> str:
    """The inverse of `split_cursor`."""
    return f"{number}_{rest}"
