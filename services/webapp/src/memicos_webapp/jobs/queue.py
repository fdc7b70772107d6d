"""The queue of background jobs: PgQueuer's tables in the database of the webapp."""

from asyncpg import Connection
from pgqueuer.queries import Queries

ENTRYPOINT = "import"
"""The kind of jobs that the worker runs."""


async def enqueue(connection: Connection, job_id: int) -> None:
    """Queue a job, unless it is queued or a worker runs it; part of the caller's transaction."""
    queries = Queries.from_asyncpg_connection(connection)
    await queries.enqueue(ENTRYPOINT, str(job_id).encode(), dedupe_key=f"import-{job_id}", on_conflict="skip")
