"""The owner's pages of data: what is stored, what can be imported, jobs with their logs. They work without JavaScript,
which adds live progress."""

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from pydantic import Field

from memicos_webapp.admin.api import AdminDep
from memicos_webapp.admin.events import ACTIVE, JobEvents
from memicos_webapp.admin.forms import NO_STORE, PAGE, Name, Number, page_of, render_page, whole_number
from memicos_webapp.admin.schemas import (
    LAYERS,
    LOCATION_CHARACTERS,
    NAME_CHARACTERS,
    VOCABULARY,
    WIDTH,
    ImportRequest,
    JobNumber,
)
from memicos_webapp.admin.service import DataAdmin
from memicos_webapp.errors import BadInput, Conflict, Fault, NotFound
from memicos_webapp.security.authorisation import OwnerAccess

JOBS_SHOWN = 8
"""Newest jobs on the page, besides those that have not ended."""
router = APIRouter(prefix=PAGE, tags=["data"])

LocationField = Annotated[str, Form(max_length=LOCATION_CHARACTERS)]
LocationQuery = Annotated[str, Query(max_length=LOCATION_CHARACTERS)]
JobQuery = Annotated[int, Field(ge=1, le=2**31 - 1)]


async def _list(request: Request, admin: DataAdmin, status: int = 200, problem: str | None = None) -> HTMLResponse:
    jobs = (await admin.jobs()).jobs
    return render_page(
        request,
        "admin/data.html",
        status,
        problem=problem,
        data=await admin.stored(),
        roots=(await admin.available(None)).entries,
        jobs=[job for number, job in enumerate(jobs) if number < JOBS_SHOWN or job.state in ACTIVE],
    )


@router.get("", response_class=HTMLResponse)
async def data_page(_: OwnerAccess, request: Request, admin: AdminDep) -> HTMLResponse:
    return await _list(request, admin)


@router.get("/browse", response_class=HTMLResponse)
async def browse_page(_: OwnerAccess, request: Request, admin: AdminDep, location: LocationQuery) -> HTMLResponse:
    """Folders at a location; of a dataset, what an import of it would do."""
    found = await admin.available(location)
    if found.dataset:
        return await _plan(request, admin, location, [])
    return render_page(request, "admin/browse.html", found=found)


@router.get("/plan", response_class=HTMLResponse)
async def plan_page(
    _: OwnerAccess,
    request: Request,
    admin: AdminDep,
    location: LocationQuery,
    source: Annotated[list[str] | None, Query(max_length=1000)] = None,
    set: Annotated[str | None, Query(max_length=NAME_CHARACTERS, description="set that the form lists")] = None,
) -> HTMLResponse:
    if set and not source:
        # without names an import is of all sources, also of other sets
        raise BadInput(f"No source of {set} was chosen; go back and choose at least one.")
    return await _plan(request, admin, location, source or [])


FIGURES_NOT_ENTERED = dict.fromkeys(("layers", "d_model", "vocabulary_size"), "")
"""Fields of the figures of a model before a user enters any."""


async def _plan(
    request: Request,
    admin: DataAdmin,
    location: str,
    sources: list[str],
    status: int = 200,
    problem: str | None = None,
    entered: dict[str, str] | None = None,
) -> HTMLResponse:
    plan = await admin.plan(location, sources)
    return render_page(
        request,
        "admin/plan.html",
        status,
        plan=plan,
        chosen=sources,
        problem=problem,
        entered=entered or FIGURES_NOT_ENTERED,
    )


@router.post("/import")
async def import_form(
    _: OwnerAccess,
    request: Request,
    admin: AdminDep,
    location: LocationField,
    source: Annotated[list[str] | None, Form(max_length=1000)] = None,
    missing: Annotated[Literal["refuse", "keep", "retire"], Form()] = "refuse",
    layers: Number = "",
    d_model: Number = "",
    vocabulary_size: Number = "",
) -> Response:
    try:
        body = ImportRequest(
            location=location,
            sources=source or [],
            missing=missing,
            layers=whole_number("Layers", layers, LAYERS),
            dModel=whole_number("Width", d_model, WIDTH),
            vocabularySize=whole_number("Entries of the vocabulary", vocabulary_size, VOCABULARY),
        )  # pyright: ignore[reportCallIssue]
        return page_of(await admin.add_import(body))
    except BadInput as fault:
        entered = {"layers": layers, "d_model": d_model, "vocabulary_size": vocabulary_size}
        return await _plan(request, admin, location, source or [], fault.status, fault.message, entered)


@router.post("/verify")
async def verify_form(_: OwnerAccess, request: Request, admin: AdminDep, name: Name) -> Response:
    try:
        return page_of(await admin.verify(name))
    except (BadInput, NotFound) as fault:
        return await _list(request, admin, fault.status, fault.message)


@router.post("/export")
async def export_form(
    _: OwnerAccess,
    request: Request,
    admin: AdminDep,
    name: Name,
    format: Annotated[Literal["native", "public"], Form()] = "native",
) -> Response:
    try:
        return page_of(await admin.export(name, format))
    except (BadInput, NotFound) as fault:
        return await _list(request, admin, fault.status, fault.message)


@router.get("/jobs/{number}/download")
async def download_export(_: OwnerAccess, admin: AdminDep, number: JobNumber) -> StreamingResponse:
    """The files of an export as a tar archive."""
    name, archive = await admin.archive(number)
    headers = {
        **NO_STORE,
        "Content-Length": str(archive.length),
        "Content-Disposition": f'attachment; filename="{name}.tar"',
    }
    return StreamingResponse(iter(archive), media_type="application/x-tar", headers=headers)


@router.post("/delete")
async def delete_form(_: OwnerAccess, request: Request, admin: AdminDep, name: Name) -> Response:
    try:
        return page_of(await admin.delete(name))
    except (BadInput, NotFound) as fault:
        return await _list(request, admin, fault.status, fault.message)


@router.get("/jobs/events", status_code=200, response_class=JobEvents)
async def job_events(
    _: OwnerAccess,
    request: Request,
    admin: AdminDep,
    job: Annotated[list[JobQuery] | None, Query(max_length=100)] = None,
) -> JobEvents:
    """Progress of all jobs that have not ended, until none is left. `job`: those that the page shows as not ended."""
    return await JobEvents.begin(request, admin, job or [])


@router.get("/jobs/{number}", response_class=HTMLResponse)
async def job_page(_: OwnerAccess, request: Request, admin: AdminDep, number: JobNumber) -> HTMLResponse:
    return await _job(request, admin, number)


async def _job(request: Request, admin: DataAdmin, number: int, fault: Fault | None = None) -> HTMLResponse:
    detail = await admin.job(number)
    status, problem = (fault.status, fault.message) if fault else (200, None)
    return render_page(request, "admin/job.html", status, detail=detail, job=detail.job, problem=problem)


@router.post("/jobs/{number}/cancel")
async def cancel_form(_: OwnerAccess, request: Request, admin: AdminDep, number: JobNumber) -> Response:
    try:
        return page_of(await admin.cancel(number))
    except Conflict as fault:
        return await _job(request, admin, number, fault)


@router.post("/jobs/{number}/resume")
async def resume_form(_: OwnerAccess, request: Request, admin: AdminDep, number: JobNumber) -> Response:
    try:
        return page_of(await admin.resume(number))
    except (BadInput, Conflict) as fault:
        return await _job(request, admin, number, fault)


@router.get("/{action:path}", response_class=HTMLResponse)
async def redirect_to_data(_: OwnerAccess, action: str) -> RedirectResponse:
    """The address of a form that showed a problem leads to the list."""
    if action not in ("import", "verify", "delete", "export"):
        raise NotFound(f"There is no page {PAGE}/{action[:100]}.")
    return RedirectResponse(PAGE, status_code=303, headers=NO_STORE)
