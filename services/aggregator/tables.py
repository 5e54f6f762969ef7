"""The aggregator's tables: the round machine's state, what was derived from the log, what is still to be sent."""

from __future__ import annotations

import sqlalchemy as sa

from services.runtime.database import offsets_table
from services.runtime.outbox import outbox_table

METADATA = sa.MetaData()
_NAME = sa.String(200)
_HASH = sa.String(64)

CONSUMED = offsets_table(METADATA)
"""How far each topic was read; changes in the same transaction as what was derived."""

MACHINE = sa.Table(
    "machine",
    METADATA,
    sa.Column("federation", _NAME, primary_key=True),
    sa.Column("incarnation", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
)
"""One row a federation: the state of the round machine, and the incarnation of the last process."""

NODES = sa.Table(
    "nodes",
    METADATA,
    sa.Column("federation", _NAME, primary_key=True),
    sa.Column("node", _NAME, primary_key=True),
    sa.Column("incarnation", sa.BigInteger, nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("seen_at", sa.Double, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)
"""One row a node: its newest status, and when it was read, seconds since the epoch."""

FENCES = sa.Table(
    "fences",
    METADATA,
    sa.Column("federation", _NAME, primary_key=True),
    sa.Column("topic", sa.String(300), primary_key=True),
    sa.Column("node", _NAME, primary_key=True),
    sa.Column("incarnation", sa.BigInteger, nullable=False),
)
"""Newest incarnation of each node on `updates` and `votes`, as of the saved offset of that topic."""

LAYOUTS = sa.Table(
    "layouts",
    METADATA,
    sa.Column("federation", _NAME, primary_key=True),
    sa.Column("layout_hash", _HASH, primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
)
"""Layouts of all lineages that a round was opened for."""

RELEASES = sa.Table(
    "releases",
    METADATA,
    sa.Column("federation", _NAME, primary_key=True),
    sa.Column("release_seq", sa.BigInteger, primary_key=True),
    sa.Column("weights_sha256", _HASH, nullable=False),
    sa.Column("statistics_sha256", _HASH),
    sa.Column("created_at", sa.Double, nullable=False),
)
"""Every release and its artefacts."""

ARTEFACTS = sa.Table(
    "artefacts",
    METADATA,
    sa.Column("federation", _NAME, primary_key=True),
    sa.Column("sha256", _HASH, primary_key=True),
    sa.Column("log_offset", sa.BigInteger),
    sa.Column("data", sa.LargeBinary, nullable=False),
)
"""Artefacts of the newest releases and of the open candidate; `log_offset` is known once it was sent."""

OPTIMIZER_STATES = sa.Table(
    "optimizer_states",
    METADATA,
    sa.Column("federation", _NAME, primary_key=True),
    sa.Column("weights_sha256", _HASH, primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
)
"""State of the server optimiser as it was when these weights were made; never sent. A step from weights without a
row begins anew, so that a rejected candidate leaves no trace and old weights bring their own state."""

LATE_UPDATES = sa.Table(
    "late_updates",
    METADATA,
    sa.Column("federation", _NAME, primary_key=True),
    sa.Column("node", _NAME, primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
)
"""Updates that came too late for their round and wait for a later one (`streamgauge.federation.late`): the log is
read past them by then, so it cannot be their store."""

OUTBOX = outbox_table(METADATA, sa.Column("federation", _NAME, nullable=False))
"""Messages decided on and not yet acknowledged, in order. A body may refer to artefacts by their SHA-256 alone."""
