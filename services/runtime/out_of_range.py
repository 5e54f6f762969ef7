"""Where to read on in a log that no longer has, or never had, the offset that is next."""

from __future__ import annotations

import structlog

from services.runtime.log import Partition

log = structlog.get_logger(component="kafka")


def nearest_offset(partition: Partition, position: int, beginning: int, end: int) -> int:
    """The offset to go on at, in the same log; says what was lost.

    Args:
        position: the next offset.
        beginning, end: of the log as it is now.
    """
    if position < beginning:
        log.error(
            "records were deleted before they were read", partition=str(partition), lost=beginning - position
        )
        return beginning
    # An unclean leader election cut the log's end; what comes next is new.
    log.error("the log was truncated", partition=str(partition), position=position, end=end)
    return min(position, end)
