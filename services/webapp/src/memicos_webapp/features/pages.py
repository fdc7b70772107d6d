"""Pages of features: the dashboard."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from memicos_webapp import recipes
from memicos_webapp.accounts.identity import write_problem
from memicos_webapp.accounts.viewer import IdentityDep, ViewerDep
from memicos_webapp.database.engine import Snapshot
from memicos_webapp.explanations.methods import METHODS
from memicos_webapp.features import service, view
from memicos_webapp.inference.prompt_form import ROLES, read_form
from memicos_webapp.steering.strength_scale import default_strength
from memicos_webapp.templating import render

router = APIRouter(tags=["features"])

PARTS = ("plots", "explanation", "activations", "test", "testfield", "steer", "link")
"""Parts that an embedded dashboard may leave out: `embedplots=false` and so on."""


@router.get("/{model}/{source}/{index}", response_class=HTMLResponse)
async def feature_page(
    request: Request,
    session: Snapshot,
    viewer: ViewerDep,
    identity: IdentityDep,
    model: str,
    source: str,
    index: str,
    defaulttesttext: str = "",
) -> HTMLResponse:
    number = await service.index_in_path(session, viewer, model, source, index)
    detail = await service.find(session, viewer, model, source, number)
    settings = request.app.state.settings
    row = detail.row
    query = request.query_params
    own_prompt = read_form(defaulttesttext, query.get("input", ""), query.getlist("role"), query.getlist("content"))
    groups = view.groups(detail, settings.examples_shown, full_text=False)
    may_write = write_problem(settings, identity) is None
    return render(
        request,
        "features/feature.html",
        detail=detail,
        source=detail.source,
        row=row,
        groups=groups,
        top_count=len(groups[0].examples) if groups else 0,
        activation_bars=view.bars(row.activation_histogram, 0, row.max_activation, logarithmic=True),
        logit_bars=view.bars(row.logit_histogram, row.logit_min, row.logit_max, logarithmic=False),
        recipe=recipes.describe(recipes.dataset_recipe(detail.source)),
        recompute=recipes.recompute_command(
            str(request.base_url), detail.source.model_id, detail.source.name, row.index
        ),
        methods=METHODS,
        editor_id=viewer.account_id if may_write and request.query_params.get("embed") != "true" else None,
        steer_strength=f"{default_strength(row.max_activation, detail.source.residual_norm):g}",
        own_prompt=own_prompt,
        roles=ROLES,
        without={part for part in PARTS if request.query_params.get(f"embed{part}") == "false"},
    )


@router.get("/{model}/{source}/{index}/examples", response_class=HTMLResponse)
async def full_examples(
    request: Request, session: Snapshot, viewer: ViewerDep, model: str, source: str, index: str
) -> HTMLResponse:
    """The examples with whole texts, which are too large for the first view of the page."""
    number = await service.index_in_path(session, viewer, model, source, index)
    detail = await service.find(session, viewer, model, source, number)
    groups = view.groups(detail, request.app.state.settings.examples_shown, full_text=True)
    return render(request, "features/_examples.html", source=detail.source, groups=groups)
