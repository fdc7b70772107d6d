"""Routes for feature vectors, and for features ranked by similarity to a vector."""

from functools import partial

from fastapi import APIRouter, Request, Response

from memicos_inference.http.responses import json_response
from memicos_inference.scheduler.jobs import SourceJob
from memicos_inference.vectors import service
from memicos_inference.vectors.schemas import CossimRequest, CossimResponse, VectorRequest, VectorResponse

router = APIRouter(prefix="/v1/util", tags=["util"])


@router.post("/sae-vector", response_model=VectorResponse, summary="Encoder or decoder vector of a feature")
async def util_sae_vector(body: VectorRequest, request: Request) -> Response:
    """Return the encoder column or the decoder row of a feature, as the server computes with it.

    Errors: 400 for an unknown model, source or index.
    """
    return await json_response(request, SourceJob(partial(service.feature_vector, body=body)))


@router.post(
    "/sae-topk-by-decoder-cossim",
    response_model=CossimResponse,
    summary="Features by cosine similarity of decoder rows",
)
async def util_sae_topk_by_decoder_cossim(body: CossimRequest, request: Request) -> Response:
    """Rank the decoder rows of a source by their cosine similarity to the decoder row of a feature, or to a vector.

    Errors: 400 for an unknown model, source or index, not exactly one of `feature` and `vector`, a vector that is 0 or
    of the wrong width, or a `num_results` above `max_num_results`.
    """
    return await json_response(request, SourceJob(partial(service.similar_features, body=body)))
