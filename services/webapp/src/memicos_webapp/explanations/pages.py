"""Fragments of the feature page's explanations: generate one, delete one, choose the label; the page of a method.

Every response to a form has a status line, and replaces list and heading by `hx-swap-oob`. Without htmx a form leads
back to the feature page.
"""

from typing import Annotated

from fastapi import APIRouter, Form, Path, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from memicos_service.disconnect import until_disconnect
from pydantic import BaseModel, ConfigDict, SecretStr

from memicos_webapp.accounts.viewer import ViewerDep
from memicos_webapp.catalog.visibility import Viewer
from memicos_webapp.database.engine import Snapshot
from memicos_webapp.errors import BadInput
from memicos_webapp.explanations import service
from memicos_webapp.explanations.methods import DEFAULT_METHOD, METHODS
from memicos_webapp.explanations.schemas import MAX_ID, GenerateRequest
from memicos_webapp.explanations.service import ExplanationsDep, FeatureExplanations
from memicos_webapp.features.service import parse_index
from memicos_webapp.provider_keys.service import profiles_with_key
from memicos_webapp.security.authorisation import WriteAccess
from memicos_webapp.templating import render

router = APIRouter(tags=["explanations"])


class ExplainForm(BaseModel):
    """The form "Generate explanation"."""

    model_config = ConfigDict(hide_input_in_errors=True)

    explainer_model: str = ""
    method: str = DEFAULT_METHOD
    profile: str = ""
    contrastive: bool = False
    api_key: SecretStr = SecretStr("")


ExplanationNumber = Annotated[int, Path(ge=1, le=MAX_ID)]


def _is_htmx(request: Request) -> bool:
    return request.headers.get("hx-request") == "true"


def _render_update(request: Request, viewer: Viewer, feature: FeatureExplanations, status: str) -> Response:
    if not _is_htmx(request):
        return RedirectResponse(feature.path, status_code=303)
    return render(
        request,
        "explanations/_updated.html",
        status=status,
        feature=feature,
        methods=METHODS,
        editor_id=viewer.account_id,
    )


@router.get("/{model}/{source}/{index}/explain")
async def explain_control(
    request: Request,
    _: WriteAccess,
    viewer: ViewerDep,
    resources: ExplanationsDep,
    model: str,
    source: str,
    index: str,
    attributions: bool = False,
) -> Response:
    """A message about missing settings, in place of the form; the choice of a provider where there are several, or the
    viewer stored a key for one; 204 where explanations can be generated and there is one provider."""
    path = f"/{model}/{source}/{parse_index(index)}"
    if not _is_htmx(request):
        return RedirectResponse(path, status_code=303)
    autointerp = await resources.autointerp.status()
    stored = await profiles_with_key(resources.database, viewer) & {profile.name for profile in autointerp.profiles}
    if autointerp.problem is not None and not stored:
        return render(
            request,
            "explanations/_not_available.html",
            autointerp=autointerp,
            path=path,
            methods=METHODS,
            attributed=attributions,
        )
    if len(autointerp.profiles) == 1 and not stored:
        # the form stays as it is: something may have been typed into it
        return Response(status_code=204)
    return render(
        request, "explanations/_profiles.html", headers={"HX-Reswap": "none"}, autointerp=autointerp, stored=stored
    )


@router.post("/{model}/{source}/{index}/explain")
async def explain_feature(
    request: Request,
    _: WriteAccess,
    viewer: ViewerDep,
    resources: ExplanationsDep,
    model: str,
    source: str,
    index: str,
    form: Annotated[ExplainForm, Form()],
) -> Response:
    for name, value, limit in (
        ("name of the language model", form.explainer_model, 200),
        ("method", form.method, 60),
        ("profile", form.profile, 40),
        ("key", form.api_key.get_secret_value(), 500),
    ):
        if len(value) > limit:
            raise BadInput(f"The {name} has {len(value)} characters, at most {limit}.")
    body = GenerateRequest.model_validate(
        {
            "modelId": model,
            "layer": source,
            "index": parse_index(index),
            "explanationType": form.method,
            "explanationModelName": form.explainer_model,
            "profile": form.profile,
            "contrastive": form.contrastive,
            "apiKey": form.api_key,
        }
    )
    generated = await until_disconnect(request, service.generate(resources, viewer, body))
    return _render_update(request, viewer, generated.feature, f"Explanation by {generated.explanation.model} added.")


@router.post("/explanations/{explanation_id}/delete")
async def delete_explanation(
    request: Request, _: WriteAccess, viewer: ViewerDep, resources: ExplanationsDep, explanation_id: ExplanationNumber
) -> Response:
    feature = await service.delete(resources, viewer, explanation_id)
    return _render_update(request, viewer, feature, "Explanation deleted.")


@router.post("/explanations/{explanation_id}/label")
async def choose_label(
    request: Request,
    _: WriteAccess,
    viewer: ViewerDep,
    resources: ExplanationsDep,
    explanation_id: ExplanationNumber,
    chosen: Annotated[bool, Form()] = True,
) -> Response:
    feature = await service.choose_label(resources, viewer, explanation_id, chosen)
    return _render_update(request, viewer, feature, "Label chosen." if chosen else "The default label is used again.")


@router.get("/explanation-type/{name}", response_class=HTMLResponse)
async def explanation_type_page(request: Request, session: Snapshot, viewer: ViewerDep, name: str) -> HTMLResponse:
    method, explanations = await service.newest(session, viewer, name)
    return render(request, "explanations/method.html", method=method, explanations=explanations)
