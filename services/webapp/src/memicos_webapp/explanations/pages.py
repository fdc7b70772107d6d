"""The answer to the dashboard's control that has a feature explained."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from memicos_webapp.accounts.viewer import ViewerDep
from memicos_webapp.errors import BadInput
from memicos_webapp.explanations import service
from memicos_webapp.explanations.schemas import GenerateRequest
from memicos_webapp.explanations.service import ExplainerDep
from memicos_webapp.features.service import parse_index
from memicos_webapp.features.view import METHODS
from memicos_webapp.security.authorisation import LocalOwner
from memicos_webapp.templating import render

router = APIRouter(tags=["explanations"])


@router.post("/{model}/{source}/{index}/explain")
async def explain_feature(
    request: Request,
    _: LocalOwner,
    viewer: ViewerDep,
    server: ExplainerDep,
    model: str,
    source: str,
    index: str,
    explainer_model: Annotated[str, Form()] = "",
) -> Response:
    if len(explainer_model) > 200:
        raise BadInput(f"The name of the language model has {len(explainer_model)} characters, at most 200.")
    wanted = GenerateRequest.model_validate(
        {"modelId": model, "layer": source, "index": parse_index(index), "explanationModelName": explainer_model}
    )
    made = await service.generate(server, viewer, wanted)
    if request.headers.get("hx-request") != "true":
        return RedirectResponse(f"{made.source.path}/{index}", status_code=303)
    return render(request, "explanations/generated.html", made=made, methods=METHODS)
