"""The result of the box on the feature page that runs the user's own text."""

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse

from memicos_webapp import recipes
from memicos_webapp.accounts.viewer import ViewerDep
from memicos_webapp.database.engine import DatabaseDep
from memicos_webapp.feature_test import service, view
from memicos_webapp.inference.errors import NotReady
from memicos_webapp.inference.pages import render_waiting
from memicos_webapp.inference.prompt_form import read_form
from memicos_webapp.inference.service import InferenceDep
from memicos_webapp.templating import render

router = APIRouter(tags=["activations"])


@router.post("/{model}/{source}/{index}/test", response_class=HTMLResponse)
async def run_own_text(
    request: Request,
    database: DatabaseDep,
    viewer: ViewerDep,
    inference: InferenceDep,
    model: str,
    source: str,
    index: str,
    text: Annotated[str, Form()] = "",
    kind: Annotated[str, Form(alias="input")] = "",
    role: Annotated[Sequence[str], Form()] = (),
    content: Annotated[Sequence[str], Form()] = (),
) -> HTMLResponse:
    form = read_form(text, kind, role, content)
    prompt = form.prompt()
    target = await service.get_target(database, viewer, model, source, index)
    try:
        run = await service.run(inference, target, prompt, ignore_bos=True)
    except NotReady as fault:
        return render_waiting(request, fault, request.url.path, form.fields())
    recompute = None
    if target.vector is None:
        recompute = recipes.recompute_command(str(request.base_url), model, target.source, target.index, prompt)
    template = "result.html" if request.headers.get("hx-request") == "true" else "page.html"
    return render(
        request,
        f"feature_test/{template}",
        target=target,
        run=run,
        tokens=view.text_pieces(run, target.max_activation or run.max_value),
        recipe=recipes.describe(run.recipe),
        recompute=recompute,
        share=f"{target.path}?{urlencode(form.pairs('defaulttesttext'))}",
    )
