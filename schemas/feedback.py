"""What people say about alerts; stays on the site's own cluster."""

from __future__ import annotations

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field

from schemas.base import Count, Message, Name

VerdictKind = Literal["attack", "false_alarm", "unknown"]
"""``unknown`` takes an earlier verdict back."""


class Verdict(Message):
    """A person's verdict on an alert. The one with the highest ``version`` counts.

    Who gave it, and what they wrote, stays in the API's database: nodes learn from the verdict alone.
    """

    TYPE: ClassVar[str] = "streamgauge.verdict"

    alert_id: UUID
    version: int = Field(ge=1, lt=1 << 63, description="Rises with every verdict on the same alert.")
    verdict: VerdictKind
    federation: Name
    detector: Name
    topic: str = Field(description="Of the alert's first record, as are partition, offset and row.")
    partition: Count
    offset: Count
    row: Count = 0
