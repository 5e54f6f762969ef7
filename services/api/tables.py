"""The API's tables: what the topics say, indexed for questions.

Bodies are the messages' own JSON. Times are microseconds since the epoch (exact, and the same on both databases).
The columns beside a body only serve filters and order. What people add to an alert lives in a table of its own.
"""

from __future__ import annotations

import sqlalchemy as sa

from services.runtime.database import MAX_OFFSET_KEY, offsets_table
from services.runtime.outbox import outbox_table

METADATA = sa.MetaData()

CONSUMED = offsets_table(METADATA)
"""How far each cluster's topics were read; changes in the same transaction as the rows."""

ALERTS = sa.Table(
    "alerts",
    METADATA,
    sa.Column("alert_id", sa.String(36), primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("closed", sa.Boolean, nullable=False),
    sa.Column("federation", sa.String(200), nullable=False),
    sa.Column("detector", sa.String(200), nullable=False),
    sa.Column("site", sa.String(200), nullable=False),
    sa.Column("node", sa.String(200), nullable=False),
    sa.Column("entity_key", sa.String(64), nullable=False),
    sa.Column("first_us", sa.BigInteger, nullable=False),
    sa.Column("last_us", sa.BigInteger, nullable=False),
    sa.Column("score", sa.Double, nullable=False),
    sa.Column("arrived_us", sa.BigInteger, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("source", sa.String(MAX_OFFSET_KEY)),
    sa.Index("alerts_by_time", "first_us", "alert_id"),
    sa.Index("alerts_by_node", "node", "first_us", "alert_id"),
    sa.Index("alerts_by_entity", "entity_key", "first_us", "alert_id"),
    sa.Index("alerts_by_arrival", "arrived_us"),
)
"""One row an alert: its newest version. `source` is the cluster it was read from, as in `CONSUMED`; null in rows
that an older version of this service wrote."""

VERDICTS = sa.Table(
    "verdicts",
    METADATA,
    sa.Column("alert_id", sa.String(36), primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("verdict", sa.String(20), nullable=False),
    sa.Column("given_us", sa.BigInteger, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Index("verdicts_by_kind", "verdict", "alert_id"),
    sa.Index("verdicts_by_time", "given_us"),
)
"""One row an alert that a person has judged: the newest verdict, as the API shows it."""

OUTBOX = outbox_table(METADATA, sa.Column("source", sa.String(MAX_OFFSET_KEY), nullable=False))
"""Verdicts that are not on the cluster of their alert yet."""

NODES = sa.Table(
    "nodes",
    METADATA,
    sa.Column("federation", sa.String(200), primary_key=True),
    sa.Column("node", sa.String(200), primary_key=True),
    sa.Column("incarnation", sa.BigInteger, nullable=False),
    sa.Column("arrived_us", sa.BigInteger, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)
"""One row a node: its newest status."""

ROUNDS = sa.Table(
    "rounds",
    METADATA,
    sa.Column("federation", sa.String(200), primary_key=True),
    sa.Column("round", sa.BigInteger, primary_key=True),
    sa.Column("arrived_us", sa.BigInteger, nullable=False),
    sa.Column("outcome", sa.String(20)),
    sa.Column("plan", sa.Text),
    sa.Column("candidate", sa.Text),
    sa.Column("closed", sa.Text),
    sa.Index("rounds_by_arrival", "arrived_us"),
)
"""One row a round: what the aggregator said about it so far."""

RELEASES = sa.Table(
    "releases",
    METADATA,
    sa.Column("federation", sa.String(200), primary_key=True),
    sa.Column("release_seq", sa.BigInteger, primary_key=True),
    sa.Column("version", sa.String(200), nullable=False),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("weights_sha256", sa.String(64), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Index("releases_by_version", "version"),
)
"""Every release; kept for ever, as the topic is."""

ARTEFACTS = sa.Table(
    "artefacts",
    METADATA,
    sa.Column("federation", sa.String(200), primary_key=True),
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("arrived_us", sa.BigInteger, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
)
"""The newest weights of each federation, byte for byte."""
