"""The owner's pages of data: what is stored, what can be imported, jobs with their logs. They work without JavaScript,
which adds live progress."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from pydantic import Field

from memicos_webapp.admin.api import AdminDep
from memicos_webapp.admin.events import ACTIVE, JobEvents
from memicos_webapp.admin.schemas import (
    LAYERS,
    LOCATION_CHARACTERS,
    NAME_CHARACTERS,
    VOCABULARY,
    WIDTH,
    ExplainFeaturesRequest,
    ImportRequest,
    Job,
    JobNumber,
)
from memicos_webapp.admin.service import DataAdmin
from memicos_webapp.bulk import language_model as bulk_model
from memicos_webapp.bulk.options import DEFAULT_SCORE
from memicos_webapp.errors import BadInput, Conflict, Fault, NotConfigured, NotFound
from memicos_webapp.explanations.methods import METHODS as EXPLANATION_METHODS
from memicos_webapp.scores.methods import METHODS as SCORE_METHODS
from memicos_webapp.security.authorisation import OwnerAccess
from memicos_webapp.templating import render

PAGE = "/account/data"
JOBS_SHOWN = 8
"""Newest jobs on the page, besides those that have not ended."""
NO_STORE = {"Cache-Control": "no-store"}

router = APIRouter(prefix=PAGE, tags=["data"])

Name = Annotated[str, Form(max_length=NAME_CHARACTERS)]
LocationField = Annotated[str, Form(max_length=LOCATION_CHARACTERS)]
LocationQuery = Annotated[str, Query(max_length=LOCATION_CHARACTERS)]
JobQuery = Annotated[int, Field(ge=1, le=2**31 - 1)]
Number = Annotated[str, Form(max_length=20)]


def _page_of(job: Job) -> RedirectResponse:
    return RedirectResponse(f"{PAGE}/jobs/{job.id}", status_code=303, headers=NO_STORE)


async def _list(request: Request, admin: DataAdmin, status: int = 200, problem: str | None = None) -> HTMLResponse:
    jobs = (await admin.jobs()).jobs
    return _render(
        request,
        "admin/data.html",
        status,
        problem=problem,
        data=await admin.stored(),
        roots=(await admin.available(None)).entries,
        jobs=[job for number, job in enumerate(jobs) if number < JOBS_SHOWN or job.state in ACTIVE],
    )


def _render(request: Request, template: str, status: int = 200, **context: Any) -> HTMLResponse:
    settings = request.app.state.settings
    return render(
        request, template, status, NO_STORE, may_change=not settings.read_only, active_states=ACTIVE, **context
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
    return _render(request, "admin/browse.html", found=found)


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
    return _render(
        request,
        "admin/plan.html",
        status,
        plan=plan,
        chosen=sources,
        problem=problem,
        entered=entered or FIGURES_NOT_ENTERED,
    )


def _number(name: str, text: str, maximum: int) -> int | None:
    """
    Raises:
        BadInput: it is not a whole number from 1 to `maximum`.
    """
    if not text.strip():
        return None
    if not (text.strip().isascii() and text.strip().isdecimal() and 0 < int(text) <= maximum):
        raise BadInput(f"{name} has to be a whole number from 1 to {maximum:,}, not {text[:20]!r}.")
    return int(text)


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
            layers=_number("Layers", layers, LAYERS),
            dModel=_number("Width", d_model, WIDTH),
            vocabularySize=_number("Entries of the vocabulary", vocabulary_size, VOCABULARY),
        )  # pyright: ignore[reportCallIssue]
        return _page_of(await admin.add_import(body))
    except BadInput as fault:
        entered = {"layers": layers, "d_model": d_model, "vocabulary_size": vocabulary_size}
        return await _plan(request, admin, location, source or [], fault.status, fault.message, entered)


@router.post("/verify")
async def verify_form(_: OwnerAccess, request: Request, admin: AdminDep, name: Name) -> Response:
    try:
        return _page_of(await admin.verify(name))
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
        return _page_of(await admin.export(name, format))
    except (BadInput, NotFound) as fault:
        return await _list(request, admin, fault.status, fault.message)


@router.get("/explain", response_class=HTMLResponse)
async def explain_page(
    _: OwnerAccess,
    request: Request,
    admin: AdminDep,
    name: Annotated[str, Query(max_length=NAME_CHARACTERS)],
    failed_in: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
) -> HTMLResponse:
    name = await admin.label(name)
    return _explain(request, name, {"failed_in": str(failed_in) if failed_in else ""})


ENTERED = (
    "method", "model", "budget", "unexplained", "min_density", "max_density", "score_below", "indices", "failed_in",
)  # fmt: skip
NOTHING_ENTERED = dict.fromkeys(ENTERED, "") | {"score_method": DEFAULT_SCORE}
"""The fields of the form, as a page without a fault has them."""


def _explain(request: Request, name: str, entered: dict[str, str], fault: Fault | None = None) -> HTMLResponse:
    try:
        profiles = [profile for profile in bulk_model.profiles().values() if profile.models]
    except NotConfigured as error:
        profiles, fault = [], error
    return _render(
        request,
        "admin/explain.html",
        fault.status if fault else 200,
        subject=name,
        entered={**NOTHING_ENTERED, **entered},
        problem=fault.message if fault else None,
        profiles=profiles,
        methods=[
            method for method in EXPLANATION_METHODS.values() if method.from_texts and not method.from_attributions
        ],
        score_methods=SCORE_METHODS.values(),
    )


def _amount(name: str, text: str, low: float, high: float) -> float | None:
    """
    Raises:
        BadInput: it is not a number from `low` to `high`.
    """
    if not text.strip():
        return None
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not low <= number <= high:
        raise BadInput(f"{name} has to be a number from {low:g} to {high:g}, not {text[:20]!r}.")
    return number


@router.post("/explain")
async def explain_form(
    _: OwnerAccess,
    request: Request,
    admin: AdminDep,
    name: Name,
    method: Annotated[str, Form(max_length=60)],
    model: Annotated[str, Form(max_length=241, description="profile and model with a space between them")],
    budget: Number = "",
    unexplained: Annotated[Literal["", "yes"], Form()] = "",
    min_density: Number = "",
    max_density: Number = "",
    score_below: Number = "",
    score_method: Annotated[str, Form(max_length=60)] = "eleuther_embedding",
    indices: Annotated[str, Form(max_length=100_000)] = "",
    failed_in: Number = "",
) -> Response:
    try:
        profile, _space, model_name = model.partition(" ")
        low, high = (
            _amount("The smallest density", min_density, 0, 1),
            _amount("The largest density", max_density, 0, 1),
        )
        body = ExplainFeaturesRequest(
            name=name,
            method=method,
            profile=profile[:40],
            model=model_name[:200],
            budget=_amount("The budget", budget, 0.000001, 1e6),
            unexplained=bool(unexplained),
            minDensity=0.0 if low is None else low,
            maxDensity=1.0 if high is None else high,
            scoreBelow=_amount("The score", score_below, -1, 1),
            scoreMethod=score_method,
            indices=indices,
            failedIn=_number("The job", failed_in, 2**31 - 1),
        )
        return _page_of(await admin.explain(body))
    except (BadInput, NotFound, NotConfigured) as fault:
        entered = {
            "method": method,
            "model": model,
            "budget": budget,
            "unexplained": unexplained,
            "min_density": min_density,
            "max_density": max_density,
            "score_below": score_below,
            "score_method": score_method,
            "indices": indices,
            "failed_in": failed_in if failed_in.isascii() and failed_in.isdecimal() else "",
        }
        return _explain(request, name, entered, fault)


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
        return _page_of(await admin.delete(name))
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
    return _render(request, "admin/job.html", status, detail=detail, job=detail.job, problem=problem)


@router.post("/jobs/{number}/cancel")
async def cancel_form(_: OwnerAccess, request: Request, admin: AdminDep, number: JobNumber) -> Response:
    try:
        return _page_of(await admin.cancel(number))
    except Conflict as fault:
        return await _job(request, admin, number, fault)


@router.post("/jobs/{number}/resume")
async def resume_form(_: OwnerAccess, request: Request, admin: AdminDep, number: JobNumber) -> Response:
    try:
        return _page_of(await admin.resume(number))
    except (BadInput, Conflict) as fault:
        return await _job(request, admin, number, fault)


@router.get("/{action:path}", response_class=HTMLResponse)
async def redirect_to_data(_: OwnerAccess, action: str) -> RedirectResponse:
    """The address of a form that showed a problem leads to the list."""
    if action not in ("import", "verify", "delete", "export"):
        raise NotFound(f"There is no page {PAGE}/{action[:100]}.")
    return RedirectResponse(PAGE, status_code=303, headers=NO_STORE)
