"""What Alembic runs: the migrations, in the transaction that ``migrate`` has opened."""

from alembic import context

from batch_endpoints.records.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
