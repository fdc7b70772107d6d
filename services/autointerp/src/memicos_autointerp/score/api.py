"""Routes of scoring an explanation."""

from fastapi import APIRouter, Request

from memicos_autointerp.score import service
from memicos_autointerp.score.schemas import (
    ScoreEmbeddingRequest,
    ScoreEmbeddingResponse,
    ScoreFuzzDetectionRequest,
    ScoreFuzzDetectionResponse,
)

router = APIRouter(prefix="/v1/score", tags=["score"])


@router.post("/embedding", summary="Score an explanation by embeddings")
async def score_embedding(body: ScoreEmbeddingRequest, request: Request) -> ScoreEmbeddingResponse:
    """Compare the embedding of the explanation with those of texts with and without the feature.

    The score is the area under the ROC curve of the cosine similarities. The embedder is all-MiniLM-L6-v2 on this
    server, or OpenAI's where AUTOINTERP_EMBEDDER is openai. Fewer than 5 texts of a class are status 400.
    """
    return await service.score_embedding(body, request.app.state.settings, request.app.state.embedders)


@router.post("/fuzz-detection", summary="Score an explanation by a language model that classifies texts")
async def score_fuzz_detection(body: ScoreFuzzDetectionRequest, request: Request) -> ScoreFuzzDetectionResponse:
    """Let a language model say which texts fit the explanation.

    The score is balanced accuracy. Texts are asked about five at a time; those whose answer failed are excluded and
    reported. Where fewer than 5 texts of a class are left there is no score but status 502, and `cause` has the kind of
    failure.
    """
    return await service.score_fuzz_detection(body, request.app.state.settings, request.app.state.providers)
