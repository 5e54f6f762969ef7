"""What a profile makes of messages of many rows each; in words, with examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from streamgauge.profiles.checked_records import about
from streamgauge.profiles.checking import EXAMPLES, place
from streamgauge.profiles.columnar import ColumnarDecoder
from streamgauge.profiles.decoder import Decoded
from streamgauge.profiles.imputing import Imputer
from streamgauge.profiles.profile import Profile
from streamgauge.profiles.tags import PositionedRecord
from streamgauge.stream.imputation import LastValues


def check_messages(
    profile: Profile, messages: Sequence[PositionedRecord], max_ahead_s: float = np.inf
) -> tuple[list[str], bool]:
    """Lines for people, and whether every row was accepted.

    Args:
        profile: as it is.
        messages: Arrow streams, each partition's in the order of its log.
        max_ahead_s: as `ColumnarDecoder` has it.
    Raises:
        StateError: pyarrow is not installed.
    """
    if profile.long is not None:
        return [
            f"rejected: {len(messages)} Arrow streams: with layout = 'long' each message is one JSON object"
        ], False
    labels = profile.label is not None
    decoder = ColumnarDecoder(profile, learn_labels=labels, max_ahead_s=max_ahead_s)
    decoded = decoder.decode_messages(messages)

    def where(rows: Decoded, row: int) -> str:
        return f"{place(messages[int(decoded.message[row])])}, row {rows.good[row]}"

    rows = len(decoded) + sum(refused.row is not None for refused in decoded.refused)
    lines = [f"{len(decoded)} of {rows} rows accepted, in {len(messages)} Arrow streams"]
    for reason, n in Counter(refused.reason for refused in decoded.refused).most_common():
        lines.append(f"rejected: {n} {reason}")
        for one in [refused for refused in decoded.refused if refused.reason == reason][:EXAMPLES]:
            row = "" if one.row is None else f", row {one.row}"
            lines.append(f"    {place(messages[one.message])}{row}: {one.detail}")
    lines += about(profile, [(decoded, Imputer(profile).impute(decoded, LastValues()))], where)
    return lines, not decoded.refused
