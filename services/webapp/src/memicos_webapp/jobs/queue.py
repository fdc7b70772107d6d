"""The queue of background jobs: PgQueuer's tables in the database of the webapp."""

from asyncpg import Connection

ENTRYPOINT = "job"
"""One entrypoint for jobs of all kinds, so that the worker runs one job at a time."""


async def enqueue(connection: Connection, job_id: int) -> None:
    """Queue a job, unless it is queued or a worker runs it; part of the caller's transaction."""
    # takes half a second to import, which only the programs that queue jobs need
    from pgqueuer.queries import Queries

    queries = Queries.from_asyncpg_connection(connection)
    await queries.enqueue(ENTRYPOINT, str(job_id).encode(), dedupe_key=f"job-{job_id}", on_conflict="skip")
