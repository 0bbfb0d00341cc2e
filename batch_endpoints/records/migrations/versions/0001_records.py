"""Endpoints, deployments, assets and jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "endpoints",
        sa.Column("name", name, primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "deployments",
        sa.Column("endpoint", name, sa.ForeignKey("endpoints.name", ondelete="CASCADE"), primary_key=True),
        sa.Column("name", name, primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "assets",
        sa.Column("number", number, primary_key=True),
        sa.Column("kind", name, nullable=False),
        sa.Column("name", name, nullable=False),
        sa.Column("version", name, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.UniqueConstraint("kind", "name", "version", name="assets_version"),
        sa.Index("assets_newest", "kind", "name", "number"),
    )
    op.create_table(
        "jobs",
        sa.Column("number", number, primary_key=True),
        sa.Column("name", name, nullable=False),
        sa.Column("request_id", name),
        sa.Column("endpoint", name, nullable=False),
        sa.Column("deployment", name, nullable=False),
        sa.Column("status", name, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.UniqueConstraint("name", name="jobs_name"),
        sa.UniqueConstraint("request_id", name="jobs_request"),
        sa.Index("jobs_of_endpoint", "endpoint", "number"),
        sa.Index("jobs_of_status", "status", "number"),
    )


def downgrade() -> None:
    for table in ("jobs", "assets", "deployments", "endpoints"):
        op.drop_table(table)
