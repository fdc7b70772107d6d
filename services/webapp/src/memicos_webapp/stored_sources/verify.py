"""The job `verify`: compares the rows of stored sources with what was imported (`verification`)."""

from dataclasses import dataclass

import asyncpg

from memicos_webapp.datasets.stored_rows import verification
from memicos_webapp.errors import Fault
from memicos_webapp.jobs import repository as jobs
from memicos_webapp.jobs import service as job_service
from memicos_webapp.jobs.kinds import JobKind, JobRun
from memicos_webapp.stored_sources import selection


@dataclass(frozen=True)
class Result:
    """`problems` of the source `name` (`model/source`); empty: it is complete."""

    name: str
    problems: list[str]


class IncompleteError(Fault):
    """A stored source is not what was imported."""

    status = 409


async def verify(connection: asyncpg.Connection, chosen: selection.Selection) -> list[Result]:
    """Verify sources, and record for each whether it is complete."""
    results: list[Result] = []
    corpora: dict[int, list[str]] = {}
    for name in chosen.sources:
        # an import that replaces the source meanwhile changes neither the load nor the explanations of this snapshot
        load_problems: dict[int, list[str]] = {}
        async with connection.transaction(isolation="repeatable_read"):
            for load in await verification.shown_loads(connection, chosen.model, [name]):
                if load.corpus_id not in corpora:
                    corpora[load.corpus_id] = await verification.corpus_problems(connection, load.corpus_id)
                found = await verification.problems(connection, load) + corpora[load.corpus_id]
                found = list(dict.fromkeys(found))
                results.append(Result(load.name, found))
                load_problems[load.load_id] = found
        for load_id, found in load_problems.items():
            await verification.note_result(connection, load_id, found)
    return results


def describe(result: Result) -> str:
    """One line about a source."""
    return f"{result.name}: {'; '.join(result.problems) if result.problems else 'complete'}"


async def add(connection: asyncpg.Connection, address: str) -> int:
    """Queue the verification of `model/source` or `model/set`; returns the number of the job.

    Raises:
        NotFound: there is no such source.
    """
    chosen = await selection.select(connection, address)
    return await job_service.add(connection, VERIFY.name, chosen.label, {})


async def _run(run: JobRun) -> None:
    chosen = await selection.select(run.connection, run.location)
    await jobs.describe(run.connection, run.id, chosen.label)
    await jobs.set_stage(run.connection, run.id, "verifies the stored rows")
    results = await verify(run.connection, chosen)
    for result in results:
        await jobs.add_line(run.connection, run.id, describe(result))
    incomplete = [describe(result) for result in results if result.problems]
    if incomplete:
        raise IncompleteError("; ".join(incomplete))


VERIFY = JobKind("verify", _run, refusals=(Fault,))
