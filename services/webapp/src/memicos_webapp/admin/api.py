"""JSON API of data and jobs. For the owner of the server only."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from memicos_webapp.admin.schemas import (
    LOCATION_CHARACTERS,
    SOURCES_AT_ONCE,
    Available,
    ExplainFeaturesRequest,
    ExportRequest,
    ImportRequest,
    Job,
    JobDetail,
    JobList,
    JobNumber,
    NameRequest,
    Plan,
    ScoreFeaturesRequest,
    StoredData,
)
from memicos_webapp.admin.service import DataAdmin
from memicos_webapp.errors import ErrorBody
from memicos_webapp.security.authorisation import OwnerAccess

router = APIRouter(prefix="/admin", tags=["admin"])

OWNER_ONLY: dict[int | str, dict[str, Any]] = {
    403: {"model": ErrorBody, "description": "Only the owner of the server may do this"}
}
BAD_LOCATION: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "The location is in no import root, or has no dataset"}
}
BAD_BODY: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "The body is not JSON, or a text in it has a character that no name has"},
    413: {"model": ErrorBody, "description": "The body is too large"},
}
UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": ErrorBody, "description": "There is nothing of this name"}}
NO_LANGUAGE_MODEL: dict[int | str, dict[str, Any]] = {
    503: {"model": ErrorBody, "description": "The profiles of language models cannot be read"}
}
ENDED: dict[int | str, dict[str, Any]] = {409: {"model": ErrorBody, "description": "The state of the job forbids it"}}


async def _admin(request: Request) -> DataAdmin:
    return DataAdmin(request.app.state.database, request.app.state.settings)


AdminDep = Annotated[DataAdmin, Depends(_admin)]
Location = Annotated[
    str,
    Query(
        max_length=LOCATION_CHARACTERS,
        description="folder or URL in one of the import roots",
        examples=["https://bucket.example/v1/gpt2-small/6-res-jb"],
    ),
]


@router.get("/data", summary="List stored sources", responses=OWNER_ONLY)
async def list_stored_data(_: OwnerAccess, admin: AdminDep) -> StoredData:
    """The sources that pages show, by model and set, with sizes and the results of verification."""
    return await admin.stored()


@router.get("/data/available", summary="List what can be imported", responses=OWNER_ONLY | BAD_LOCATION | UNKNOWN)
async def list_available_data(
    _: OwnerAccess,
    admin: AdminDep,
    location: Annotated[
        str | None, Query(max_length=LOCATION_CHARACTERS, description="folder or URL; without it the roots are listed")
    ] = None,
) -> Available:
    """Folders at a location of the import roots (`MEMICOS_IMPORT_ROOTS`)."""
    return await admin.available(location)


@router.get("/data/plan", summary="Show what an import would do", responses=OWNER_ONLY | BAD_LOCATION)
async def plan_import(
    _: OwnerAccess,
    admin: AdminDep,
    location: Location,
    source: Annotated[
        list[str] | None, Query(max_length=SOURCES_AT_ONCE, description="sources of the public layout; none: all")
    ] = None,
) -> Plan:
    """Sources, sizes and the space needed against what is free."""
    return await admin.plan(location, source or [])


@router.post("/imports", summary="Import a dataset", status_code=202, responses=OWNER_ONLY | BAD_BODY | BAD_LOCATION)
async def add_import(_: OwnerAccess, admin: AdminDep, body: ImportRequest) -> Job:
    """Queue an import for the worker (`memicos worker`)."""
    return await admin.add_import(body)


@router.post(
    "/data/verify", summary="Verify stored sources", status_code=202, responses=OWNER_ONLY | BAD_BODY | UNKNOWN
)
async def verify_data(_: OwnerAccess, admin: AdminDep, body: NameRequest) -> Job:
    """Queue the comparison of stored rows with what was imported."""
    return await admin.verify(body.name)


@router.post(
    "/data/delete", summary="Delete stored sources", status_code=202, responses=OWNER_ONLY | BAD_BODY | UNKNOWN
)
async def delete_data(_: OwnerAccess, admin: AdminDep, body: NameRequest) -> Job:
    """Queue the deletion of a source or a set. Readers see all of it, or nothing."""
    return await admin.delete(body.name)


@router.post("/exports", summary="Export stored sources", status_code=202, responses=OWNER_ONLY | BAD_BODY | UNKNOWN)
async def add_export(_: OwnerAccess, admin: AdminDep, body: ExportRequest) -> Job:
    """Queue an export. Once it is done, `/account/data/jobs/{number}/download` sends its files as a tar archive."""
    return await admin.export(body.name, body.format)


@router.post(
    "/explanations",
    summary="Explain many features",
    status_code=202,
    responses=OWNER_ONLY | BAD_BODY | UNKNOWN | NO_LANGUAGE_MODEL,
)
async def explain_features(_: OwnerAccess, admin: AdminDep, body: ExplainFeaturesRequest) -> Job:
    """Queue the explanation of features by a language model, with the key of the server.

    The log of the job states the cost, measured on 20 features; it ends where the budget is reached. Resume continues
    it, and pays for nothing again.
    """
    return await admin.explain(body)


@router.post(
    "/scores",
    summary="Score many features",
    status_code=202,
    responses=OWNER_ONLY | BAD_BODY | UNKNOWN | NO_LANGUAGE_MODEL,
)
async def score_features(_: OwnerAccess, admin: AdminDep, body: ScoreFeaturesRequest) -> Job:
    """Queue scores of the labels of features, where a language model judges with the key of the server.

    It needs an inference server with the sources. With a language model the log of the job states the cost, measured on
    20 labels, and the job ends where the budget is reached. Resume continues it, and pays for nothing again.
    """
    return await admin.score(body)


@router.get("/jobs", summary="List jobs", responses=OWNER_ONLY)
async def list_jobs(_: OwnerAccess, admin: AdminDep) -> JobList:
    """The newest 50 background jobs."""
    return await admin.jobs()


@router.get("/jobs/{number}", summary="Get a job", responses=OWNER_ONLY | UNKNOWN)
async def get_job(_: OwnerAccess, admin: AdminDep, number: JobNumber) -> JobDetail:
    """A job with its log and the rows that it left out."""
    return await admin.job(number)


@router.post("/jobs/{number}/cancel", summary="Cancel a job", responses=OWNER_ONLY | UNKNOWN | ENDED)
async def cancel_job(_: OwnerAccess, admin: AdminDep, number: JobNumber) -> Job:
    """End a job that is queued or runs. What an import has stored is deleted, and pages do not change. Sources
    that a deletion has hidden by then stay hidden. A job `cancel-batches` is added where a batch of a language model is
    open, also of a job that has failed."""
    return await admin.cancel(number)


@router.post("/jobs/{number}/resume", summary="Resume a job", responses=OWNER_ONLY | BAD_LOCATION | UNKNOWN | ENDED)
async def resume_job(_: OwnerAccess, admin: AdminDep, number: JobNumber) -> Job:
    """Let the worker continue a job that was interrupted, failed or was cancelled."""
    return await admin.resume(number)
