"""A deployment to whose output nobody gave a name says so, where the default name has to follow its format."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for name in ("deployments", "jobs"):
        table = sa.table(name, sa.column("document", sa.Text))
        for kind in ("jsonl", "parquet", "arrow"):
            before, after = (
                f'"output_file_name":{said},"output_format":"{kind}"' for said in ('"predictions.csv"', "null")
            )
            op.execute(table.update().values(document=sa.func.replace(table.c.document, before, after)))
