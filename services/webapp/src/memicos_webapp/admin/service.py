"""What the owner's page and API of data do: lists of what is stored, and jobs that requests add."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path

from asyncpg import Connection, Record
from memicos_dataset.public_layout.metadata import MetadataOptions, unknown_figures

from memicos_webapp.accounts.identity import OWNER_ID
from memicos_webapp.admin import available
from memicos_webapp.admin.schemas import (
    Available,
    ExplainFeaturesRequest,
    FeaturesRequest,
    ImportRequest,
    Job,
    JobDetail,
    JobList,
    JobState,
    LogLine,
    Plan,
    PlanSource,
    PlanSpace,
    Reject,
    ScoreFeaturesRequest,
    StoredData,
    StoredSet,
    StoredSource,
)
from memicos_webapp.bulk import explain, score
from memicos_webapp.bulk.job_task import check_budget, next_attempt
from memicos_webapp.bulk.options import ExplainOptions, FeatureSelection, ScoreOptions, read_indices
from memicos_webapp.database.connection import opened
from memicos_webapp.database.engine import ANSWER_MARGIN_SECONDS, Database
from memicos_webapp.datasets import preview
from memicos_webapp.datasets.plan import MissingSources
from memicos_webapp.datasets.running_import import ImportOptions
from memicos_webapp.datasets.service import IMPORT, add_import
from memicos_webapp.errors import BadInput, NotConfigured, NotFound
from memicos_webapp.import_roots.roots import Roots, parse_roots
from memicos_webapp.jobs import file_repository
from memicos_webapp.jobs import repository as jobs
from memicos_webapp.jobs import service as job_service
from memicos_webapp.settings import Settings
from memicos_webapp.stored_sources import delete, export_job, selection, verify
from memicos_webapp.stored_sources.export import ExportFormat

JOBS_SHOWN = 50
REJECTS_SHOWN = 1000


class DataAdmin:
    """What the routes use: the database's address, the settings and the import roots."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._url, self.settings = database.url, settings

    @property
    def roots(self) -> Roots:
        """Made for each request, so that names are looked up again."""
        return parse_roots(self.settings.import_roots)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection of its own, which neither waits for visitors' requests nor delays them."""
        seconds = self.settings.statement_seconds
        options = {"server_settings": {"statement_timeout": str(round(1000 * seconds))}}
        wait = seconds + ANSWER_MARGIN_SECONDS
        async with opened(self._url, "memicos-admin", command_timeout=wait, **options) as connection:
            yield connection

    async def stored(self) -> StoredData:
        async with self.connection() as connection:
            rows = await selection.all_sources(connection)
            # features of other loads are there too: staged and retired ones
            of_features = await connection.fetchrow(
                """SELECT pg_database_size(current_database()) AS all_bytes, pg_total_relation_size('feature') AS bytes,
                     (SELECT coalesce(sum(features), 0)::bigint FROM load WHERE state <> 'failed') AS features"""
            )
            free = await preview.free_in_database(connection)
        assert of_features is not None
        each = of_features["bytes"] / max(of_features["features"], 1)
        sets = [
            _stored_set(list(group), each) for _, group in groupby(rows, lambda row: (row["model_id"], row["set_name"]))
        ]
        return StoredData(databaseBytes=of_features["all_bytes"], freeBytes=free, sets=sets)

    async def available(self, location: str | None) -> Available:
        async with self.connection() as connection:
            rows = await selection.all_sources(connection)
        stored = {f"{row['model_id']}/{row['name']}" for row in rows}
        return await asyncio.to_thread(available.browse, self.roots, location, stored)

    async def plan(self, location: str, sources: list[str]) -> Plan:
        found = await asyncio.to_thread(available.plan, self.roots, location, sources)
        async with self.connection() as connection:
            found = await preview.complete(connection, found, self.settings.conversions)
        return Plan(
            location=found.location,
            format=found.format,
            model=found.model,
            set=found.set_name,
            bytes=found.bytes,
            sources=[
                PlanSource(source=own.id, features=own.features, files=own.files, bytes=own.bytes, shown=own.shown)
                for own in found.sources
            ],
            space=[PlanSpace(place=own.place, neededBytes=own.needed, freeBytes=own.free) for own in found.space],
            problem=found.fault or (f"it {found.lack_of_space}" if found.lack_of_space else None),
            unknownFigures=unknown_figures(found.model_shape),
        )

    async def add_import(self, body: ImportRequest) -> Job:
        """Queue an import.

        Raises:
            BadInput: it is not in a root.
        """
        location = str(available.permitted(self.roots, body.location).root)
        metadata = MetadataOptions(
            body.layers, body.dModel, body.vocabularySize, body.countedTokens, body.license, body.corpusUrl
        )
        options = ImportOptions(
            missing=MissingSources(body.missing),
            move_sources=body.moveSources,
            retired_seconds=self.settings.retired_load_seconds,
            reject_limit=self.settings.import_reject_limit,
            conversions=str(self.settings.conversions.resolve()),
            sources=tuple(body.sources),
            roots=self.settings.import_roots,
            metadata=vars(metadata),
        )
        async with self.connection() as connection:
            return await _job(connection, await add_import(connection, location, options))

    async def verify(self, name: str) -> Job:
        async with self.connection() as connection:
            return await _job(connection, await verify.add(connection, name))

    async def export(self, name: str, kind: str) -> Job:
        async with self.connection() as connection:
            return await _job(connection, await export_job.add(connection, name, ExportFormat(kind), self.settings))

    async def archive(self, number: int) -> tuple[str, export_job.Archive]:
        """Name and archive of an export.

        Raises:
            NotFound: there is none.
            NotConfigured: this process may not read its files.
        """
        async with self.connection() as connection:
            job = await job_service.get(connection, number)
        folder = Path(jobs.options(job).get("folder", "")) / str(number)
        if job["kind"] != export_job.EXPORT.name or job["state"] != "done":
            raise NotFound(f"Job {number} has no export to download: it is {job['kind']}, {job['state']}.")
        name = f"{job['location'].replace('/', '--')}-{jobs.options(job)['format']}"
        try:
            if not await asyncio.to_thread(folder.is_dir):
                raise NotFound(f"The files of export {number} were deleted; export {job['location']} again.")
            return name, await asyncio.to_thread(export_job.Archive, folder, name)
        except OSError as error:
            raise NotConfigured(
                f"The files of export {number} cannot be read ({error.strerror}): run webapp and worker as the same "
                f"user, or let the webapp's user read {folder}."
            ) from error

    async def label(self, name: str) -> str:
        """The name of a stored source or set.

        Raises:
            BadInput, NotFound: there is none.
        """
        async with self.connection() as connection:
            return (await selection.select(connection, name)).label

    async def form_options(self, number: int | None) -> ExplainOptions | ScoreOptions | None:
        """Options of the job whose failed features a form is for; None for None, and where it is another kind of job.

        Raises:
            NotFound: there is no such job.
        """
        if number is None:
            return None
        async with self.connection() as connection:
            job = await job_service.get(connection, number)
        options = {explain.EXPLAIN.name: ExplainOptions, score.SCORE.name: ScoreOptions}.get(job["kind"])
        return options.from_json(jobs.options(job)) if options else None

    async def explain(self, body: ExplainFeaturesRequest) -> Job:
        """Queue the explanation of features.

        Raises:
            NotFound: there is no such source, or no such job.
            BadInput, NotConfigured: method, language model, indices or budget cannot be used.
        """
        chosen = _selection(body, body.unexplained)
        async with self.connection() as connection:
            attempt = await next_attempt(connection, body.failedIn, explain.EXPLAIN.name)
            options = ExplainOptions(
                body.method,
                OWNER_ID,
                body.profile,
                body.model,
                body.budget,
                attempt,
                chosen,
                body.contrastive,
                batch=body.batch,
            )
            check_budget(options)
            return await _job(connection, await explain.add(connection, body.name, options))

    async def score(self, body: ScoreFeaturesRequest) -> Job:
        """Queue scores of the labels of features.

        Raises:
            NotFound: there is no such source, or no such job.
            BadInput, NotConfigured: method, language model, indices or budget cannot be used.
        """
        chosen = _selection(body, False)
        async with self.connection() as connection:
            attempt = await next_attempt(connection, body.failedIn, score.SCORE.name)
            options = ScoreOptions(
                body.method,
                OWNER_ID,
                body.profile,
                body.model,
                body.budget,
                attempt,
                chosen,
                body.unscored,
                body.nearMisses,
                body.seed,
                batch=body.batch,
            )
            return await _job(connection, await score.add(connection, body.name, options))

    async def delete(self, name: str) -> Job:
        async with self.connection() as connection:
            return await _job(connection, await delete.add(connection, name, self.settings.retired_load_seconds))

    async def jobs(self) -> JobList:
        async with self.connection() as connection:
            return JobList(jobs=[job_body(row) for row in await jobs.newest(connection, JOBS_SHOWN)])

    async def job(self, number: int) -> JobDetail:
        async with self.connection() as connection:
            job = await job_service.get(connection, number)
            log = [LogLine(at=row["at"], line=row["line"]) for row in await jobs.lines(connection, number)]
            rejects = (await file_repository.rejects(connection, number))[:REJECTS_SHOWN]
        return JobDetail(job=job_body(job), log=log, rejects=[Reject(**row) for row in rejects])

    async def cancel(self, number: int) -> Job:
        async with self.connection() as connection:
            await job_service.cancel(connection, number)
            return await _job(connection, number)

    async def resume(self, number: int) -> Job:
        """Hand a job to the worker again.

        Raises:
            BadInput: it is an import of a location that is in no root any more.
        """
        async with self.connection() as connection:
            job = await job_service.get(connection, number)
            if job["kind"] == IMPORT.name:
                options = ImportOptions.from_json(jobs.options(job))
                if options.roots is not None and options.roots != self.settings.import_roots:
                    raise BadInput(
                        f"Job {number} was added when MEMICOS_IMPORT_ROOTS was another; add the import again."
                    )
            await job_service.resume(connection, number)
            return await _job(connection, number)


def _selection(body: FeaturesRequest, unexplained: bool) -> FeatureSelection:
    """
    Raises:
        BadInput: the indices are none.
    """
    return FeatureSelection(
        body.minDensity,
        body.maxDensity,
        unexplained,
        body.scoreBelow,
        body.scoreMethod,
        read_indices(body.indices),
        body.failedIn,
    )


def _stored_set(rows: list[Record], bytes_each: float) -> StoredSet:
    sources = [
        StoredSource(
            source=row["name"],
            features=row["features"],
            bytes=round(bytes_each * row["features"]),
            importedAt=row["created_at"],
            verifiedAt=row["verified_at"],
            problem=row["verification_problem"],
        )
        for row in rows
    ]
    first = rows[0]
    return StoredSet(
        model=first["model_id"],
        set=first["set_name"],
        title=first["set_title"],
        features=sum(source.features for source in sources),
        bytes=sum(source.bytes for source in sources),
        sources=sources,
    )


async def _job(connection: Connection, number: int) -> Job:
    return job_body(await job_service.get(connection, number))


def job_state(job: Record) -> JobState:
    """The state that users see: of a running job also whether a process runs it, of a queued one whether it waits."""
    if job["state"] == "queued" and job["run_again_at"] is not None:
        return "waiting"
    if job["state"] == "running":
        return "interrupted" if not job["active"] else "cancelling" if job["cancel_requested"] else "running"
    return job["state"]


def job_fields(job: Record) -> dict[str, object]:
    """Fields of `schemas.Job`."""
    return {
        "id": job["id"],
        "kind": job["kind"],
        "subject": job["subject"],
        "location": job["location"],
        "state": job_state(job),
        "stage": job["stage"],
        "files": job["files"],
        "filesDone": job["files_done"],
        "rows": job["rows"],
        "rowsDone": job["rows_done"],
        "bytes": job["bytes"],
        "rejects": job["rejects"],
        "error": job["error"],
        "batches": job["batches"],
        "paid": job["paid"],
        "createdAt": job["created_at"],
        "finishedAt": job["finished_at"],
    }


def job_body(job: Record) -> Job:
    return Job.model_validate(job_fields(job))
