"""JSON API of scores: score an explanation, with progress; delete a score."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from memicos_service.disconnect import until_disconnect
from memicos_service.openapi.events import MESSAGE, events_response

from memicos_webapp.accounts.viewer import ViewerDep
from memicos_webapp.errors import ErrorBody
from memicos_webapp.inference.service import Inference
from memicos_webapp.scores.schemas import ScoreDeleted, ScoreGenerated, ScoreId, ScoreRequest, ScoreStep
from memicos_webapp.scores.scoring import service as scoring
from memicos_webapp.scores.scoring.event_stream import STEP, ScoreStream, last_score
from memicos_webapp.scores.scoring.task import ScoringResources
from memicos_webapp.security.authorisation import WRITE_REFUSED, WriteAccess

router = APIRouter(tags=["explanation"])


async def _resources(request: Request) -> ScoringResources:
    state = request.app.state
    # the routes watch for a disconnect themselves, over all calls of a score
    inference = Inference(state.inference_hosts, lambda call: call)
    return ScoringResources(state.database, state.autointerp, inference, state.settings)


ScoringDep = Annotated[ScoringResources, Depends(_resources)]


@router.post(
    "/explanation/score",
    summary="Score an explanation",
    response_model=ScoreGenerated,
    responses={
        **events_response({MESSAGE: ScoreGenerated, STEP: ScoreStep, "error": ErrorBody}, {STEP: "streamSteps"}),
        400: {"model": ErrorBody, "description": "Unsupported method or model, or the feature is never active"},
        403: {"model": ErrorBody, "description": WRITE_REFUSED},
        404: {"model": ErrorBody, "description": "Unknown explanation"},
        409: {"model": ErrorBody, "description": "Your stored key for the profile cannot be used"},
        413: {"model": ErrorBody, "description": "The body is too large"},
        502: {
            "model": ErrorBody,
            "description": "Inference, autointerp or the language model failed; no score",
        },
        503: {
            "model": ErrorBody,
            "description": "Inference or the autointerp server is down or has no key, or there are too few texts",
        },
    },
)
async def score_explanation(
    request: Request, _: WriteAccess, viewer: ViewerDep, resources: ScoringDep, body: ScoreRequest
) -> ScoreGenerated | ScoreStream:
    """Score an explanation on its feature's examples and on texts on which the model shows that it is not active.

    The score is stored with its breakdown and cost. A new score takes the place of your earlier one by the same method
    and model, and a failure stores nothing: it can be tried again at once. Methods whose names begin with `output_`
    compare what the feature does to the output. With `stream` the response is server-sent events: with `streamSteps`
    `step` after each step, at last the score; closing the connection ends the work. Beyond loopback it takes the
    owner's session or an API key with the scope `write` in `X-Api-Key` (403 otherwise).
    """
    task = await scoring.prepare(resources, viewer, body)
    parts = scoring.run(resources, viewer, body, task)
    if body.stream:
        return ScoreStream(resources.database, viewer, parts, body.streamSteps)
    return await until_disconnect(request, last_score(resources.database, viewer, parts))


@router.post(
    "/explanation/score/{scoreId}/delete",
    summary="Delete a score",
    response_model=ScoreDeleted,
    responses={
        403: {"model": ErrorBody, "description": f"It is not your own. {WRITE_REFUSED}"},
        404: {"model": ErrorBody, "description": "Unknown score"},
    },
)
async def delete_score(_: WriteAccess, viewer: ViewerDep, resources: ScoringDep, score_id: ScoreId) -> ScoreDeleted:
    """Delete a score of your own. Scores of datasets, or by another account, cannot be deleted (403).

    Beyond loopback it takes the owner's session or an API key with the scope `write` in `X-Api-Key` (403 otherwise).
    """
    await scoring.delete(resources.database, viewer, score_id)
    return ScoreDeleted(message=f"Score {score_id} is deleted.")
