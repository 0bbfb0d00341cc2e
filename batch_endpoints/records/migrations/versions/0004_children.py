"""A job may be a step of another one, its parent."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("jobs", sa.Column("parent", name, nullable=False, server_default=""))
    op.create_index("jobs_of_parent", "jobs", ["parent", "number"])
