"""What a profile makes of messages of many rows each; in words, with examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from streamgauge.profiles.checking import EXAMPLES, about, place
from streamgauge.profiles.columnar import ColumnarDecoder
from streamgauge.profiles.imputing import Imputer
from streamgauge.profiles.profile import Profile
from streamgauge.profiles.tags import PositionedRecord
from streamgauge.stream.imputation import LastValues


def check_messages(profile: Profile, messages: Sequence[PositionedRecord]) -> tuple[list[str], bool]:
    """Lines for people, and whether every row was accepted.

    Args:
        profile: as it is.
        messages: Arrow streams, each partition's in the order of its log.
    Raises:
        StateError: pyarrow is not installed.
    """
    if profile.long is not None:
        return [
            f"rejected: {len(messages)} Arrow streams: with layout = 'long' each message is one JSON object"
        ], False
    decoded = ColumnarDecoder(profile).decode_messages(messages)
    rows = len(decoded) + sum(refused.row is not None for refused in decoded.refused)
    lines = [f"{len(decoded)} of {rows} rows accepted, in {len(messages)} Arrow streams"]
    for reason, n in Counter(refused.reason for refused in decoded.refused).most_common():
        lines.append(f"rejected: {n} {reason}")
        for one in [refused for refused in decoded.refused if refused.reason == reason][:EXAMPLES]:
            row = "" if one.row is None else f", row {one.row}"
            lines.append(f"    {place(messages[one.message])}{row}: {one.detail}")
    lines += about(profile, decoded, [Imputer(profile).impute(decoded, LastValues()).counts])
    return lines, not decoded.refused
