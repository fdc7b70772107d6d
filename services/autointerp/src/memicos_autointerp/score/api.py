"""Routes of scoring an explanation."""

from fastapi import APIRouter, Request
from memicos_service.disconnect import until_disconnect
from memicos_service.openapi.events import MESSAGE, events_response

from memicos_autointerp.errors import ErrorBody
from memicos_autointerp.score import any_method, output_service, service
from memicos_autointerp.score.schemas import (
    ScoreEmbeddingRequest,
    ScoreEmbeddingResponse,
    ScoreExplanationRequest,
    ScoreExplanationResponse,
    ScoreFuzzDetectionRequest,
    ScoreFuzzDetectionResponse,
    ScoreOutputRequest,
    ScoreOutputResponse,
    ScoreProgress,
)

router = APIRouter(prefix="/v1/score", tags=["score"])


@router.post("/embedding", summary="Score an explanation by embeddings")
async def score_embedding(body: ScoreEmbeddingRequest, request: Request) -> ScoreEmbeddingResponse:
    """Compare the embedding of the explanation with those of texts with and without the feature.

    The score is the area under the ROC curve of the cosine similarities. The embedder is all-MiniLM-L6-v2 on this
    server, or OpenAI's where AUTOINTERP_EMBEDDER is openai. Fewer than 5 texts of a class are status 400.
    """
    state = request.app.state
    return await until_disconnect(request, service.score_embedding(body, state.settings, state.embedders))


@router.post("/fuzz-detection", summary="Score an explanation by a language model that classifies texts")
async def score_fuzz_detection(body: ScoreFuzzDetectionRequest, request: Request) -> ScoreFuzzDetectionResponse:
    """Let a language model say which texts fit the explanation.

    The score is balanced accuracy. Texts are asked about five at a time; those whose answer failed are excluded and
    reported. Where fewer than 5 texts of a class are left there is no score but status 502, and `cause` has the kind of
    failure.
    """
    state = request.app.state
    return await until_disconnect(request, service.score_fuzz_detection(body, state.settings, state.providers))


@router.post(
    "/explanation",
    summary="Score an explanation by any method",
    response_model=ScoreExplanationResponse,
    responses=events_response(
        {MESSAGE: ScoreExplanationResponse, any_method.STEP: ScoreProgress, "error": ErrorBody},
        {any_method.STEP: "stream_steps"},
    ),
)
async def score_explanation(
    body: ScoreExplanationRequest, request: Request
) -> ScoreExplanationResponse | any_method.ScoreEvents:
    """Score an explanation by `method`, as JSON or with `stream` as server-sent events.

    Texts whose answer failed are excluded and reported. Where fewer than 5 texts of a class are left there is no score
    but status 502, and `cause` has the kind of failure. An error after a stream has begun is sent as an event named
    `error`, the last one. Closing a stream ends the requests to the language model.
    """
    state = request.app.state
    score = any_method.prepare(body, state.settings, state.providers, state.embedders)
    if body.stream:
        return any_method.ScoreEvents(score, body.stream_steps)
    return await until_disconnect(request, score.run(lambda _: None))


@router.post("/output", summary="Score an explanation by what the feature does to the output")
async def score_output(body: ScoreOutputRequest, request: Request) -> ScoreOutputResponse:
    """Compare the embedding of the explanation with those of what steering raises, and of what it does not raise.

    The score is the area under the ROC curve of the cosine similarities. The embedder is that of `/v1/score/embedding`;
    no language model judges, and no key is needed. Fewer than 5 texts of either list are status 400.
    """
    state = request.app.state
    return await until_disconnect(request, output_service.score_output(body, state.settings, state.embedders))
