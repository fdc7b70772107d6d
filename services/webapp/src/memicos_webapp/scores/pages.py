"""Pages of scores: the breakdown of one, a method with its newest results, explanations of a feature side by side, and
the form that scores an explanation."""

from typing import Annotated

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from memicos_service.disconnect import until_disconnect
from pydantic import BaseModel, ConfigDict, SecretStr

from memicos_webapp.accounts.viewer import ViewerDep
from memicos_webapp.database.engine import Snapshot
from memicos_webapp.errors import BadInput
from memicos_webapp.explanations.methods import METHODS as EXPLANATION_METHODS
from memicos_webapp.explanations.schemas import MAX_ID
from memicos_webapp.explanations.service import ExplanationsDep
from memicos_webapp.features.service import index_in_path
from memicos_webapp.provider_keys.service import profiles_with_key
from memicos_webapp.scores import service
from memicos_webapp.scores.api import ScoringDep
from memicos_webapp.scores.comparison import compare
from memicos_webapp.scores.methods import EMBEDDING, METHODS
from memicos_webapp.scores.schemas import ScoreRequest
from memicos_webapp.scores.scoring import service as scoring
from memicos_webapp.scores.scoring.event_stream import last_score
from memicos_webapp.security.authorisation import WriteAccess
from memicos_webapp.templating import render

router = APIRouter(tags=["scores"])

ScoreNumber = Annotated[int, Path(ge=1, le=MAX_ID)]


class ScoreForm(BaseModel):
    """The form "Score"."""

    model_config = ConfigDict(hide_input_in_errors=True)

    method: str = EMBEDDING
    profile: str = ""
    scorer_model: str = ""
    near_misses: bool = False
    api_key: SecretStr = SecretStr("")


@router.get("/scores/{score_id}", response_class=HTMLResponse)
async def score_page(request: Request, session: Snapshot, viewer: ViewerDep, score_id: ScoreNumber) -> HTMLResponse:
    detail = await service.find(session, viewer, score_id)
    return render(
        request,
        "scores/score.html",
        detail=detail,
        score=detail.score,
        source=detail.source,
        own=detail.score.author_id is not None and detail.score.author_id == viewer.account_id,
    )


@router.get("/score-type/{name}", response_class=HTMLResponse)
async def score_type_page(request: Request, session: Snapshot, viewer: ViewerDep, name: str) -> HTMLResponse:
    method, scores = await service.newest(session, viewer, name)
    return render(request, "scores/method.html", method=method, scores=scores)


@router.get("/{model}/{source}/{index}/explanations", response_class=HTMLResponse)
async def comparison_page(
    request: Request, session: Snapshot, viewer: ViewerDep, model: str, source: str, index: str, scorer: str = ""
) -> HTMLResponse:
    """The explanations of a feature side by side, with their scores and the answers about each text."""
    number = await index_in_path(session, viewer, model, source, index)
    comparison = await compare(session, viewer, model, source, number, scorer)
    return render(request, "scores/comparison.html", comparison=comparison, explainers=EXPLANATION_METHODS)


@router.get("/explanations/{explanation_id}/score", response_class=HTMLResponse)
async def score_form(
    request: Request,
    _: WriteAccess,
    viewer: ViewerDep,
    resources: ExplanationsDep,
    explanation_id: ScoreNumber,
) -> HTMLResponse:
    """The form that scores an explanation, or why none can be scored."""
    async with resources.database.snapshot() as session:
        explanation, source = await service.explanation(session, viewer, explanation_id)
    autointerp = await resources.autointerp.status()
    return render(
        request,
        "scores/_form.html",
        explanation=explanation,
        path=f"{source.path}/{explanation.index}",
        autointerp=autointerp,
        stored=await profiles_with_key(resources.database, viewer),
        methods=METHODS,
    )


@router.get("/explanations/{explanation_id}/scores", response_class=HTMLResponse)
async def explanation_scores(
    request: Request, session: Snapshot, viewer: ViewerDep, explanation_id: ScoreNumber
) -> HTMLResponse:
    """Links to the scores of an explanation."""
    scores = await service.of_explanation(session, viewer, explanation_id)
    return render(request, "scores/_chips.html", scores=scores)


@router.post("/explanations/{explanation_id}/score")
async def score_explanation(
    request: Request,
    _: WriteAccess,
    viewer: ViewerDep,
    resources: ScoringDep,
    explanation_id: ScoreNumber,
    form: Annotated[ScoreForm, Form()],
) -> RedirectResponse:
    """Score an explanation, without scripts; leads to the score's page."""
    for name, value, limit in (
        ("name of the language model", form.scorer_model, 200),
        ("method", form.method, 60),
        ("profile", form.profile, 40),
        ("key", form.api_key.get_secret_value(), 500),
    ):
        if len(value) > limit:
            raise BadInput(f"The {name} has {len(value)} characters, at most {limit}.")
    body = ScoreRequest.model_validate(
        {
            "explanationId": explanation_id,
            "scorerType": form.method,
            "scorerModel": form.scorer_model,
            "profile": form.profile,
            "apiKey": form.api_key,
            "nearMisses": form.near_misses,
        }
    )
    task = await scoring.prepare(resources, viewer, body)
    parts = scoring.run(resources, viewer, body, task)
    generated = await until_disconnect(request, last_score(resources.database, viewer, parts))
    return RedirectResponse(f"/scores/{generated.score.id}", status_code=303)


@router.post("/scores/{score_id}/delete")
async def delete_score(
    _: WriteAccess, viewer: ViewerDep, resources: ScoringDep, score_id: ScoreNumber
) -> RedirectResponse:
    path = await scoring.delete(resources.database, viewer, score_id)
    return RedirectResponse(path, status_code=303)
