"""First schema: consumed offsets, alerts, nodes, rounds, releases, artefacts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NAME = sa.String(200)


def upgrade() -> None:
    op.create_table(
        "consumed_offsets",
        sa.Column("source", sa.String(300), primary_key=True),
        sa.Column("topic", sa.String(300), primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
        sa.Column("incarnation", sa.String(100), nullable=False),
    )
    _alerts()
    _federation()


def _alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("alert_id", sa.String(36), primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("closed", sa.Boolean, nullable=False),
        sa.Column("federation", NAME, nullable=False),
        sa.Column("detector", NAME, nullable=False),
        sa.Column("site", NAME, nullable=False),
        sa.Column("node", NAME, nullable=False),
        sa.Column("entity_key", sa.String(64), nullable=False),
        sa.Column("first_us", sa.BigInteger, nullable=False),
        sa.Column("last_us", sa.BigInteger, nullable=False),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("arrived_us", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("alerts_by_time", "alerts", ["first_us", "alert_id"])
    op.create_index("alerts_by_node", "alerts", ["node", "first_us", "alert_id"])
    op.create_index("alerts_by_entity", "alerts", ["entity_key", "first_us", "alert_id"])
    op.create_index("alerts_by_arrival", "alerts", ["arrived_us"])


def _federation() -> None:
    op.create_table(
        "nodes",
        sa.Column("federation", NAME, primary_key=True),
        sa.Column("node", NAME, primary_key=True),
        sa.Column("incarnation", sa.BigInteger, nullable=False),
        sa.Column("arrived_us", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "rounds",
        sa.Column("federation", NAME, primary_key=True),
        sa.Column("round", sa.BigInteger, primary_key=True),
        sa.Column("arrived_us", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.String(20)),
        sa.Column("plan", sa.Text),
        sa.Column("candidate", sa.Text),
        sa.Column("closed", sa.Text),
    )
    op.create_index("rounds_by_arrival", "rounds", ["arrived_us"])
    op.create_table(
        "releases",
        sa.Column("federation", NAME, primary_key=True),
        sa.Column("release_seq", sa.BigInteger, primary_key=True),
        sa.Column("version", NAME, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("weights_sha256", sa.String(64), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("releases_by_version", "releases", ["version"])
    op.create_table(
        "artefacts",
        sa.Column("federation", NAME, primary_key=True),
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("arrived_us", sa.BigInteger, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    for table in ("artefacts", "releases", "rounds", "nodes", "alerts", "consumed_offsets"):
        op.drop_table(table)
