"""A job has a uid that the server made, and a request id belongs to one endpoint and one body.

Jobs of before keep their folders, which their records name. One that is still open keeps its name as its uid, by
which its driver is found; one that has ended gets a uid of its own, since a later launch of it by its name could be
the first one of a job that was named ``<name>-launch-2``.
"""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_ENDED = ("Completed", "Failed", "Canceled")


def upgrade() -> None:
    name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("jobs", sa.Column("uid", name))
    op.add_column("jobs", sa.Column("request_body", name))
    columns = ("number", "uid", "name", "status", "document")
    jobs = sa.table("jobs", *(sa.column(each) for each in columns))
    connection = op.get_bind()
    connection.execute(jobs.update().where(jobs.c.status.not_in(_ENDED)).values(uid=jobs.c.name))
    for number in connection.scalars(sa.select(jobs.c.number).where(jobs.c.status.in_(_ENDED))).all():
        uid = str(uuid.uuid4())
        with_uid = sa.literal(f'{{"uid":"{uid}",') + sa.func.substr(jobs.c.document, 2)
        connection.execute(jobs.update().where(jobs.c.number == number).values(uid=uid, document=with_uid))
    with op.batch_alter_table("jobs") as table:
        table.alter_column("uid", nullable=False)
        table.create_unique_constraint("jobs_uid", ["uid"])
        table.drop_constraint("jobs_request", type_="unique")
        table.create_unique_constraint("jobs_request", ["endpoint", "request_id"])
