"""The queue of background jobs: PgQueuer's tables in the database of the webapp."""

from asyncpg import Connection


def entrypoint(kind: str) -> str:
    """PgQueuer's entrypoint of the jobs of a kind, which has a limit of its own of jobs that run at the same time."""
    return f"job-{kind}"


LOG_DAYS = 7
"""Days for which rows of PgQueuer's log are kept."""


async def delete_old_log(connection: Connection) -> None:
    """Delete PgQueuer's log of entries, of which nothing reads old rows: a job that waits for a batch has three of them
    for each question."""
    await connection.execute("DELETE FROM pgqueuer_log WHERE created < now() - make_interval(days => $1)", LOG_DAYS)


async def enqueue(connection: Connection, job_id: int, kind: str) -> None:
    """Queue a job of a kind, unless it is queued or a worker runs it; part of the caller's transaction."""
    # takes half a second to import, which only the programs that queue jobs need
    from pgqueuer.queries import Queries

    queries = Queries.from_asyncpg_connection(connection)
    name = entrypoint(kind)
    await queries.enqueue(name, str(job_id).encode(), dedupe_key=f"{name}-{job_id}", on_conflict="skip")
