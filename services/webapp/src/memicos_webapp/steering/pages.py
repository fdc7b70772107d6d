"""The steer page and its fragments. The page's script gets the generated texts from the API."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from memicos_service.disconnect import until_disconnect

from memicos_webapp.accounts.viewer import ViewerDep
from memicos_webapp.catalog import repository as catalog
from memicos_webapp.catalog.service import unknown_model
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.database.engine import Database, DatabaseDep, Snapshot
from memicos_webapp.errors import NotFound
from memicos_webapp.features.service import parse_index
from memicos_webapp.formatting import url_segment
from memicos_webapp.inference.service import InferenceDep
from memicos_webapp.settings import Settings
from memicos_webapp.steering import feature_controls, page_link
from memicos_webapp.steering.schemas import SteerMethod
from memicos_webapp.templating import render
from memicos_webapp.vectors.names import is_vector_source

router = APIRouter(tags=["steering"])

METHOD_LABELS: dict[SteerMethod, str] = {
    "SIMPLE_ADDITIVE": "Simple additive",
    "ORTHOGONAL_DECOMP": "Orthogonal decomposition",
}
EXAMPLES = {
    "completion": ("My favourite way to spend a Sunday is", "The letter began:", "Once upon a time"),
    "chat": ("Tell me about yourself.", "What should I do this weekend?", "Write one sentence about the sky."),
}


@router.get("/steer")
async def redirect_to_default_model(request: Request, session: Snapshot, viewer: ViewerDep) -> RedirectResponse:
    model = await catalog.default_model(session, viewer)
    if model is None:
        raise NotFound("There is nothing to steer yet: no features have been imported. `make demo` imports the demo.")
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"/{url_segment(model)}/steer{query}", status_code=307)


@router.get("/{model}/steer", response_class=HTMLResponse)
async def steer_page(
    request: Request, database: DatabaseDep, viewer: ViewerDep, inference: InferenceDep, model: str
) -> HTMLResponse:
    settings: Settings = request.app.state.settings
    async with database.snapshot() as session:
        info = await catalog.model(session, viewer, model)
        if info is None:
            raise await unknown_model(session, viewer, model)
    link = page_link.read_link(request)
    method = link.settings.steer_method
    controls, problems = await feature_controls.controls(database, viewer, settings, model, link.features, method)
    sources = {control.source for control in controls if not is_vector_source(control.source)}
    status = await inference.status(model, sorted(sources))
    return render(
        request,
        "steering/page.html",
        section="steer",
        model=info,
        controls=controls,
        problems=[*link.problems, *problems],
        form=link.settings,
        defaults=page_link.DEFAULTS,
        methods=METHOD_LABELS.items(),
        examples=EXAMPLES,
        max_tokens=settings.steer_tokens,
        search_characters=settings.steer_search_characters,
        longest_chat=page_link.MAX_CHAT_CHARACTERS,
        status=status,
        retry_url=f"/{url_segment(model)}/inference",
    )


@router.get("/{model}/steer/find", response_class=HTMLResponse)
async def find_features(
    request: Request, database: DatabaseDep, viewer: ViewerDep, model: str, q: str = ""
) -> HTMLResponse:
    """Features that match the query so far.

    When the user types on, the browser closes the request, which cancels its SQL.
    """
    problem, results = "", []
    try:
        results = await until_disconnect(request, _search(database, viewer, request.app.state.settings, model, q))
    except NotFound as fault:
        problem = fault.message
    return render(
        request,
        "steering/_feature_results.html",
        q=q,
        problem=problem,
        results=results,
    )


async def _search(
    database: Database, viewer: Viewer, settings: Settings, model: str, query: str
) -> list[feature_controls.SearchResult]:
    if not query.strip():
        return []
    async with database.snapshot() as session:
        return await feature_controls.search(session, viewer, settings, model, query)


@router.get("/{model}/steer/feature", response_class=HTMLResponse)
async def feature_control(
    request: Request,
    session: Snapshot,
    viewer: ViewerDep,
    model: str,
    source: str,
    index: str,
    method: Annotated[SteerMethod, Query(alias="steer_method")] = "SIMPLE_ADDITIVE",
) -> HTMLResponse:
    feature = page_link.LinkedFeature(source, parse_index(index), None)
    control = await feature_controls.control(session, viewer, request.app.state.settings, model, feature, method)
    return render(request, "steering/_feature_control.html", control=control)
