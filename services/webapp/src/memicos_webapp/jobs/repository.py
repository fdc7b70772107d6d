"""SQL of jobs, over a plain asyncpg connection.

A job's advisory lock is (LOCK_CLASS, id).
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from asyncpg import Connection, Record

from memicos_webapp.jobs.models import JobState

LOCK_CLASS = 0x696D7074
"""Class of the advisory locks of jobs ("impt")."""

UNFINISHED = [JobState.QUEUED.value, JobState.RUNNING.value]

LOCKED = f"""EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid::bigint = {LOCK_CLASS}
             AND objid::bigint = job.id AND objsubid = 2 AND granted
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"""  # noqa: S608 (a constant)
"""Condition on `job`: a process holds its lock, so it runs."""


JOBS = f"""SELECT job.*, {LOCKED} AS active,
              (SELECT count(*) FROM job_file WHERE job_id = job.id) AS files,
              (SELECT count(*) FROM job_file WHERE job_id = job.id AND loaded) AS files_done,
              (SELECT coalesce(sum(rows), 0)::bigint FROM job_file WHERE job_id = job.id) AS rows,
              (SELECT coalesce(sum(bytes), 0)::bigint FROM job_file WHERE job_id = job.id) AS bytes,
              (SELECT count(*) FROM job_reject WHERE job_id = job.id) AS rejects,
              (SELECT count(*) FROM job_batch WHERE job_id = job.id) AS batches
            FROM job"""  # noqa: S608 (constants)
"""Jobs with `active` (a process runs the job), and the numbers of its files, rows and open batches."""


async def next_id(connection: Connection) -> int:
    job_id = await connection.fetchval("SELECT nextval('load_import_id_seq')::int")
    assert isinstance(job_id, int)
    return job_id


async def try_lock(connection: Connection, job_id: int) -> bool:
    """Take the job's lock if it is free; returns whether it was. Held until the connection closes."""
    locked = await connection.fetchval("SELECT pg_try_advisory_lock($1::int, $2::int)", LOCK_CLASS, job_id)
    return bool(locked)


async def unlock(connection: Connection, job_id: int) -> None:
    await connection.execute("SELECT pg_advisory_unlock($1::int, $2::int)", LOCK_CLASS, job_id)


async def add(
    connection: Connection,
    job_id: int,
    kind: str,
    location: str,
    options: Mapping[str, Any],
    background: bool,
) -> None:
    """Add a job in state `queued`."""
    await connection.execute(
        """INSERT INTO job (id, kind, location, options, background, state)
           VALUES ($1, $2, $3, $4::jsonb, $5, 'queued')""",
        job_id,
        kind,
        location,
        json.dumps(options),
        background,
    )


async def start(connection: Connection, job_id: int, limit: int | None = None) -> bool:
    """Mark a job as running if it is queued, suspended or was interrupted; returns whether it was. The caller holds its
    lock.

    Args:
        limit: an interrupted job with this many attempts without progress is not started: `fail_exhausted` ends it.
    """
    row = await connection.fetchrow(
        """UPDATE job SET state = 'running', attempts = attempts + 1,
             attempts_without_progress = attempts_without_progress + 1, updated_at = now()
           WHERE id = $1
             AND (state = 'queued' OR state = 'running' AND ($2::int IS NULL OR attempts_without_progress < $2))
           RETURNING attempts, run_again_at""",
        job_id,
        limit,
    )
    # a job that waits for a batch is begun again and again
    if row is not None and row["run_again_at"] is None:
        await add_line(connection, job_id, f"attempt {row['attempts']} begins")
    return row is not None


async def describe(connection: Connection, job_id: int, subject: str, sha256: str | None = None) -> None:
    """Record what a job works on."""
    await connection.execute("UPDATE job SET subject = $2, manifest_sha256 = $3 WHERE id = $1", job_id, subject, sha256)


async def withdraw_attempt(connection: Connection, job_id: int) -> None:
    """Do not count the last start as an attempt without progress: the worker was told to end."""
    await connection.execute(
        """UPDATE job SET attempts_without_progress = greatest(attempts_without_progress - 1, 0)
           WHERE id = $1 AND state = 'running'""",
        job_id,
    )


async def suspend(connection: Connection, job_id: int, seconds: float) -> None:
    """Let a running job wait until it is run again in `seconds`; if it is to be cancelled, it is."""
    await connection.execute(
        """UPDATE job SET run_again_at = now() + make_interval(secs => $2), updated_at = now(),
             attempts = attempts - 1, attempts_without_progress = 0, error = NULL,
             state = CASE WHEN cancel_requested THEN 'cancelled' ELSE 'queued' END::job_state,
             stage = CASE WHEN cancel_requested THEN NULL ELSE stage END,
             finished_at = CASE WHEN cancel_requested THEN now() END
           WHERE id = $1 AND state = 'running'""",
        job_id,
        seconds,
    )


async def record_fault(connection: Connection, job_id: int, error: str, limit: int) -> bool:
    """Record an unexpected error of a running job, and mark it as failed after `limit` attempts without progress;
    returns whether it failed."""
    state = await connection.fetchval(
        """UPDATE job SET error = $2, updated_at = now(),
             state = CASE WHEN attempts_without_progress >= $3 THEN 'failed' ELSE state END,
             finished_at = CASE WHEN attempts_without_progress >= $3 THEN now() END
           WHERE id = $1 AND state = 'running' RETURNING state::text""",
        job_id,
        error,
        limit,
    )
    return state == JobState.FAILED


async def fail_exhausted(connection: Connection, limit: int) -> list[int]:
    """Mark background jobs as failed that nobody runs after `limit` attempts without progress; returns their ids."""
    rows = await connection.fetch(
        f"""UPDATE job SET state = 'failed', finished_at = now(), updated_at = now(),
              error = 'ended in ' || attempts_without_progress || ' attempts without progress'
                      || coalesce('; the last error: ' || error, ', each time with its process')
            WHERE background AND state = 'running' AND attempts_without_progress >= $1 AND NOT {LOCKED}
            RETURNING id""",  # noqa: S608 (constants)
        limit,
    )
    return [row["id"] for row in rows]


async def fail_unknown(connection: Connection, kinds: Iterable[str]) -> list[int]:
    """Mark background jobs as failed that nobody runs and that are of none of the kinds, as those of another version;
    returns their ids."""
    rows = await connection.fetch(
        f"""UPDATE job SET state = 'failed', finished_at = now(), updated_at = now(),
              error = 'the worker does not know jobs of the kind ' || quote_literal(kind)
            WHERE background AND state IN ('queued', 'running') AND kind <> ALL($1) AND NOT {LOCKED}
            RETURNING id""",  # noqa: S608 (constants)
        list(kinds),
    )
    return [row["id"] for row in rows]


async def interrupted_at(connection: Connection, location: str) -> list[int]:
    """Imports by a command of what is at a location that were interrupted, the newest first."""
    rows = await connection.fetch(
        f"""SELECT id FROM job WHERE location = $1 AND state = 'running' AND NOT background
            AND NOT {LOCKED} ORDER BY id DESC""",  # noqa: S608 (constants)
        location,
    )
    return [row["id"] for row in rows]


async def failed_with_batch(connection: Connection, location: str) -> list[int]:
    """Jobs of what is at a location that have failed and left a batch open, the newest first."""
    rows = await connection.fetch(
        f"""SELECT id FROM job WHERE location = $1 AND state = 'failed' AND NOT {LOCKED}
              AND EXISTS (SELECT FROM job_batch WHERE job_id = job.id) ORDER BY id DESC""",  # noqa: S608 (constants)
        location,
    )
    return [row["id"] for row in rows]


async def reopen_failed(connection: Connection, job_id: int) -> bool:
    """Queue a failed job for a command that runs it, if it has an open batch; returns whether it has. The caller holds
    its lock."""
    row = await connection.fetchrow(
        """UPDATE job SET state = 'queued', background = false, cancel_requested = false, error = NULL,
             attempts_without_progress = 0, finished_at = NULL, run_again_at = NULL, updated_at = now()
           WHERE id = $1 AND state = 'failed' AND EXISTS (SELECT FROM job_batch WHERE job_id = job.id) RETURNING id""",
        job_id,
    )
    return row is not None


async def interrupted(connection: Connection, subject: str, sha256: str) -> list[int]:
    """Imports by a command that were interrupted while they imported this manifest, the newest first."""
    rows = await connection.fetch(
        f"""SELECT id FROM job WHERE subject = $1 AND manifest_sha256 = $2 AND state = 'running' AND NOT background
            AND NOT {LOCKED} ORDER BY id DESC""",  # noqa: S608 (constants)
        subject,
        sha256,
    )
    return [row["id"] for row in rows]


async def replace_interrupted(connection: Connection, subject: str, job_id: int) -> None:
    """Cancel interrupted jobs of a command on the same subject, as this job replaces them."""
    await connection.execute(
        f"""UPDATE job SET state = 'cancelled', cancel_requested = true, finished_at = now(),
              error = 'replaced by job ' || $2::int
            WHERE subject = $1 AND id <> $2 AND state = 'running' AND NOT background
              AND NOT {LOCKED}""",  # noqa: S608 (constants)
        subject,
        job_id,
    )


async def cancel_abandoned(connection: Connection, seconds: float) -> None:
    """Cancel interrupted jobs of a command that nobody continued within `seconds`."""
    await connection.execute(
        f"""UPDATE job SET state = 'cancelled', cancel_requested = true, finished_at = now(),
              error = 'interrupted, and not continued within the time of MEMICOS_INTERRUPTED_IMPORT_SECONDS'
            WHERE state = 'running' AND NOT background AND updated_at <= now() - make_interval(secs => $1)
              AND NOT {LOCKED}""",  # noqa: S608 (constants)
        seconds,
    )


async def set_stage(connection: Connection, job_id: int, stage: str, log: bool = True) -> None:
    """Record what a job does now, in words, with `log` also as a line of its log."""
    await connection.execute("UPDATE job SET stage = $2, updated_at = now() WHERE id = $1", job_id, stage)
    if log:
        await add_line(connection, job_id, stage)


async def add_line(connection: Connection, job_id: int, line: str) -> None:
    """Add a line to the log of a job."""
    await connection.execute("INSERT INTO job_line (job_id, line) VALUES ($1, $2)", job_id, line.replace("\0", "␀"))


async def lines(connection: Connection, job_id: int, after: int = 0, count: int = 1000) -> list[Record]:
    """The newest `count` lines of a job's log with an id above `after`, the oldest first."""
    return await connection.fetch(
        """SELECT * FROM (SELECT id, at, line FROM job_line WHERE job_id = $1 AND id > $2 ORDER BY id DESC LIMIT $3) l
           ORDER BY id""",
        job_id,
        after,
        count,
    )


async def update_progress(connection: Connection, job_id: int, rows_done: int) -> bool:
    """Record progress; returns whether the job is to be cancelled."""
    cancel = await connection.fetchval(
        "UPDATE job SET rows_done = $2, updated_at = now() WHERE id = $1 RETURNING cancel_requested", job_id, rows_done
    )
    return bool(cancel)


async def note_items(connection: Connection, job_id: int, done: int, of_run: int) -> None:
    """Note the items that a job has stored results of: `done` since it was begun or resumed, `of_run` in this run."""
    await connection.execute(
        """UPDATE job SET rows_done = $2::bigint, updated_at = now(),
             attempts_without_progress = CASE WHEN $3::bigint > 0 THEN 0 ELSE attempts_without_progress END
           WHERE id = $1""",
        job_id,
        done,
        of_run,
    )


async def finish(connection: Connection, job_id: int, state: JobState, error: str | None = None) -> None:
    """Record the result of a job."""
    await add_line(connection, job_id, f"{state.value}: {error}" if error else state.value)
    await connection.execute(
        """UPDATE job SET state = $2::job_state, error = $3, stage = NULL, finished_at = now(), updated_at = now(),
             rows_done = CASE WHEN $2 = 'done' THEN
               coalesce((SELECT sum(rows) FROM job_file WHERE job_id = $1), rows_done) ELSE rows_done END
           WHERE id = $1""",
        job_id,
        state.value,
        error,
    )


async def get(connection: Connection, job_id: int) -> Record | None:
    """A job with `active` (a process runs it), and the numbers of its files and rows."""
    return await connection.fetchrow(f"{JOBS} WHERE job.id = $1", job_id)


async def newest(connection: Connection, count: int) -> list[Record]:
    """The newest jobs, as `get` returns them."""
    return await connection.fetch(f"{JOBS} ORDER BY job.id DESC LIMIT $1", count)


async def unfinished(connection: Connection, also: list[int]) -> list[Record]:
    """Jobs that have not ended, and those with the numbers `also`, as `get` returns them."""
    return await connection.fetch(
        f"{JOBS} WHERE job.state = ANY($2::job_state[]) OR job.id = ANY($1) ORDER BY job.id", also, UNFINISHED
    )


def options(job: Record) -> dict[str, Any]:
    """The options of a job."""
    return json.loads(job["options"])


async def request_cancel(connection: Connection, job_id: int) -> bool:
    """Ask for the end of a job that is queued or running, or has failed and left a batch open; a job that no process
    runs is cancelled at once, and what it left is listed by `left_behind`.

    Returns whether it is such a job.
    """
    row = await connection.fetchrow(
        f"""UPDATE job SET cancel_requested = true,
              state = CASE WHEN {LOCKED} THEN state ELSE 'cancelled' END,
              stage = CASE WHEN {LOCKED} THEN stage END,
              finished_at = CASE WHEN {LOCKED} THEN NULL ELSE now() END
            WHERE id = $1 AND (state IN ('queued', 'running') OR state = 'failed'
              AND EXISTS (SELECT FROM job_batch WHERE job_id = job.id)) RETURNING id""",  # noqa: S608 (constants)
        job_id,
    )
    return row is not None


async def is_wanted(connection: Connection, location: str) -> bool:
    """Whether a job of what is at a location is queued or running."""
    count = await connection.fetchval(
        "SELECT count(*) FROM job WHERE location = $1 AND state IN ('queued', 'running')", location
    )
    return bool(count)


async def has_unfinished(connection: Connection, kind: str, options: Mapping[str, Any]) -> bool:
    """Whether a job of a kind with exactly these options is queued or running."""
    count = await connection.fetchval(
        "SELECT count(*) FROM job WHERE kind = $1 AND options = $2::jsonb AND state IN ('queued', 'running')",
        kind,
        json.dumps(options),
    )
    return bool(count)


async def left_behind(connection: Connection) -> list[Record]:
    """Jobs that were cancelled while no process ran them, so that nothing has deleted what they left."""
    return await connection.fetch(
        f"SELECT * FROM job WHERE state = 'cancelled' AND cancel_requested AND NOT {LOCKED}"  # noqa: S608 (constants)
    )


async def note_clean_up(connection: Connection, job_id: int) -> None:
    """Note that what a cancelled job left was deleted."""
    await connection.execute("UPDATE job SET cancel_requested = false WHERE id = $1 AND state = 'cancelled'", job_id)


async def running(connection: Connection) -> set[int]:
    """Jobs that a process runs."""
    return {row["id"] for row in await connection.fetch(f"SELECT id FROM job WHERE {LOCKED}")}  # noqa: S608 (constants)


async def waiting(connection: Connection) -> list[tuple[int, str]]:
    """(number, kind) of the background jobs that are to be run and that no process runs: queued, or interrupted."""
    rows = await connection.fetch(
        f"""SELECT id, kind FROM job WHERE background AND state IN ('queued', 'running') AND NOT {LOCKED}
              AND (run_again_at IS NULL OR run_again_at <= now())
            ORDER BY id"""  # noqa: S608 (constants)
    )
    return [(row["id"], row["kind"]) for row in rows]


async def requeue(connection: Connection, job_id: int) -> str | None:
    """Hand a job that nobody runs and that is not done to the worker; returns its kind, None if it is no such job."""
    row = await connection.fetchrow(
        f"""UPDATE job SET state = 'queued', background = true, cancel_requested = false, error = NULL,
              attempts_without_progress = 0, finished_at = NULL, run_again_at = NULL, updated_at = now()
            WHERE id = $1 AND state <> 'done' AND NOT {LOCKED} RETURNING kind""",  # noqa: S608 (constants)
        job_id,
    )
    return row["kind"] if row else None
