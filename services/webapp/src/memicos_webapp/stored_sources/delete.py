"""The job `delete`: hides sources in one statement, then deletes what their datasets brought.

Explanations and scores that users wrote are kept, and are shown again when the source is imported again.
"""

from dataclasses import dataclass

import asyncpg
from memicos_dataset.wording import quantity

from memicos_webapp.datasets import load_states, locks
from memicos_webapp.datasets.cleanup import clean
from memicos_webapp.errors import Fault
from memicos_webapp.jobs import repository as jobs
from memicos_webapp.jobs import service as job_service
from memicos_webapp.jobs.kinds import JobKind, JobRun
from memicos_webapp.stored_sources import selection

BATCH = 10_000
"""Explanations that one statement deletes."""


@dataclass(frozen=True)
class Deletion:
    """Names of sources that were hidden, and of those that stay: they were imported again since they were chosen."""

    hidden: list[str]
    kept: list[str]


async def delete(connection: asyncpg.Connection, chosen: selection.Selection, retired_seconds: float) -> Deletion:
    """Hide sources, all at once, and delete their explanations.

    A source that was imported again since it was chosen stays. Waits for imports of their set. Their features stay for
    `retired_seconds` for requests in progress, as those of a load that an import replaced do.
    """
    await locks.lock_set(connection, chosen.subject)
    try:
        async with connection.transaction():
            await locks.lock_catalogue(connection)
            rows = await connection.fetch(
                f"{selection.SOURCES} WHERE source.model_id = $1 AND load.id = ANY($2)", chosen.model, chosen.loads
            )
            await load_states.flip(connection, {}, [row["id"] for row in rows])
        kept = await connection.fetch(
            f"{selection.OF_MODEL} AND source.name = ANY($2) ORDER BY source.layer, source.name",
            chosen.model,
            chosen.sources,
        )
        await _delete_explanations(connection, chosen)
        await clean(connection, retired_seconds)
    finally:
        await locks.unlock_set(connection, chosen.subject)
    return Deletion([row["name"] for row in rows], [row["name"] for row in kept])


async def _delete_explanations(connection: asyncpg.Connection, chosen: selection.Selection) -> None:
    """Delete explanations that came with datasets of hidden sources, except those that a user scored; also what an
    interrupted deletion left."""
    ids = [
        row["id"]
        for row in await connection.fetch(
            """SELECT id FROM source WHERE model_id = $1 AND name = ANY($2)
                 AND NOT EXISTS (SELECT FROM load WHERE source_id = source.id AND state = 'shown')""",
            chosen.model,
            chosen.sources,
        )
    ]
    while True:
        rows = await connection.fetch(
            """DELETE FROM explanation WHERE id IN
                 (SELECT id FROM explanation e WHERE source_id = ANY($1) AND author_id IS NULL
                    AND NOT EXISTS (SELECT FROM score WHERE explanation_id = e.id AND score.author_id IS NOT NULL)
                  LIMIT $2) RETURNING id""",
            ids,
            BATCH,
        )
        if len(rows) < BATCH:
            return


async def add(connection: asyncpg.Connection, address: str, retired_seconds: float) -> int:
    """Queue the deletion of `model/source` or `model/set`; returns the number of the job.

    Raises:
        NotFound: there is no such source.
    """
    chosen = await selection.select(connection, address)
    # noted, as an interrupted deletion finds hidden sources only
    options = {
        "set": chosen.set_name,
        "sources": chosen.sources,
        "loads": chosen.loads,
        "retired_seconds": retired_seconds,
    }
    return await job_service.add(connection, DELETE.name, chosen.label, options)


async def _run(run: JobRun) -> None:
    model, name = selection.parse(run.location)
    chosen = selection.Selection(model, run.options["set"], name, run.options["sources"], run.options["loads"])
    await jobs.describe(run.connection, run.id, chosen.label)
    await jobs.set_stage(run.connection, run.id, "hides the sources, then deletes their rows")
    done = await delete(run.connection, chosen, run.options["retired_seconds"])
    line = f"{quantity(len(done.hidden), 'source')} hidden" + (f": {', '.join(done.hidden)}" if done.hidden else "")
    await jobs.add_line(run.connection, run.id, line)
    if done.kept:
        line = f"imported again since this job was added, so not deleted: {', '.join(done.kept)}"
        await jobs.add_line(run.connection, run.id, line)


DELETE = JobKind("delete", _run, refusals=(Fault,))
