"""First schema: machine, nodes, fences, layouts, releases, artefacts, outbox, consumed offsets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NAME = sa.String(200)
TOPIC = sa.String(300)
HASH = sa.String(64)


def upgrade() -> None:
    op.create_table(
        "consumed_offsets",
        sa.Column("source", TOPIC, primary_key=True),
        sa.Column("topic", TOPIC, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
        sa.Column("incarnation", sa.String(100), nullable=False),
    )
    op.create_table(
        "machine",
        sa.Column("federation", NAME, primary_key=True),
        sa.Column("incarnation", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
    )
    _nodes()
    _models()


def _nodes() -> None:
    op.create_table(
        "nodes",
        sa.Column("federation", NAME, primary_key=True),
        sa.Column("node", NAME, primary_key=True),
        sa.Column("incarnation", sa.BigInteger, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "fences",
        sa.Column("federation", NAME, primary_key=True),
        sa.Column("topic", TOPIC, primary_key=True),
        sa.Column("node", NAME, primary_key=True),
        sa.Column("incarnation", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "layouts",
        sa.Column("federation", NAME, primary_key=True),
        sa.Column("layout_hash", HASH, primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
    )


def _models() -> None:
    op.create_table(
        "releases",
        sa.Column("federation", NAME, primary_key=True),
        sa.Column("release_seq", sa.BigInteger, primary_key=True),
        sa.Column("weights_sha256", HASH, nullable=False),
        sa.Column("statistics_sha256", HASH),
        sa.Column("created_at", sa.Double, nullable=False),
    )
    op.create_table(
        "artefacts",
        sa.Column("federation", NAME, primary_key=True),
        sa.Column("sha256", HASH, primary_key=True),
        sa.Column("log_offset", sa.BigInteger),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("federation", NAME, nullable=False),
        sa.Column("topic", TOPIC, nullable=False),
        sa.Column("log_partition", sa.Integer),
        sa.Column("key", sa.String(500), nullable=False),
        sa.Column("type", sa.String(100), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    tables = ("outbox", "artefacts", "releases", "layouts", "fences", "nodes", "machine", "consumed_offsets")
    for table in tables:
        op.drop_table(table)
