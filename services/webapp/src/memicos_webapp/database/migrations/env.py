"""Alembic's entry point: migrates over the connection that `memicos_webapp.database.migrate` hands in."""

from alembic import context
from memicos_webapp.database.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
