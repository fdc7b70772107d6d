"""The steer page and its fragments. The texts themselves come from the API, which the page's script reads."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from memicos_webapp.accounts.viewer import ViewerDep
from memicos_webapp.catalog import repository as catalog
from memicos_webapp.catalog.service import unknown_model
from memicos_webapp.database.engine import DatabaseDep, Snapshot
from memicos_webapp.errors import NotFound
from memicos_webapp.features.service import parse_index
from memicos_webapp.formatting import url_segment
from memicos_webapp.inference.service import InferenceDep
from memicos_webapp.settings import Settings
from memicos_webapp.steering import feature_controls, page_link
from memicos_webapp.templating import render

router = APIRouter(tags=["steering"])

METHODS = (
    ("SIMPLE_ADDITIVE", "add the direction"),
    ("ORTHOGONAL_DECOMP", "scale what is there of it"),
)
EXAMPLES = {
    "completion": ("My favourite way to spend a Sunday is", "The letter began:", "Once upon a time"),
    "chat": ("Tell me about yourself.", "What should I do this weekend?", "Write one sentence about the sky."),
}


@router.get("/steer")
async def steer_somewhere(request: Request, session: Snapshot, viewer: ViewerDep) -> RedirectResponse:
    model = await catalog.default_model(session, viewer)
    if model is None:
        raise NotFound("There is nothing to steer yet: no features have been imported. `make demo` does it.")
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
    address = page_link.read_link(request)
    shown, problems = await feature_controls.several(database, viewer, settings, model, address.features)
    status = await inference.status(model, sorted({dial.source for dial in shown}))
    return render(
        request,
        "steering/page.html",
        section="steer",
        model=info,
        dials=shown,
        problems=[*address.problems, *problems],
        form=address.settings,
        defaults=page_link.DEFAULTS,
        methods=METHODS,
        examples=EXAMPLES,
        max_tokens=settings.steer_tokens,
        longest_chat=page_link.LONGEST_CHAT,
        status=status,
        again=f"/{url_segment(model)}/inference",
    )


@router.get("/{model}/steer/find", response_class=HTMLResponse)
async def find_feature(request: Request, session: Snapshot, viewer: ViewerDep, model: str, q: str = "") -> HTMLResponse:
    problem, hits = "", []
    try:
        hits = await feature_controls.find(session, viewer, model, q) if q.strip() else []
    except NotFound as fault:
        problem = fault.message
    return render(
        request,
        "steering/_found.html",
        q=q,
        problem=problem,
        hits=[(card, feature_controls.name_of(card)) for card in hits],
    )


@router.get("/{model}/steer/dial", response_class=HTMLResponse)
async def feature_dial(
    request: Request, session: Snapshot, viewer: ViewerDep, model: str, source: str, index: str
) -> HTMLResponse:
    wanted = page_link.LinkedFeature(source, parse_index(index), None)
    dial = await feature_controls.one(session, viewer, request.app.state.settings, model, wanted)
    return render(request, "steering/_dial.html", dial=dial)
