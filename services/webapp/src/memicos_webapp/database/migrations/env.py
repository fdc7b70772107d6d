"""Alembic's entry point: migrates over the connection that `memicos_webapp.database.migrate` hands in."""

from alembic import context
from memicos_webapp.database import tables
from memicos_webapp.database.base import Base

assert tables.ALL
connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
