"""Routes of vectors of features, and of features by vector."""

from functools import partial

from fastapi import APIRouter, Request, Response

from memicos_inference.http.responses import json_response
from memicos_inference.scheduler.jobs import SourceJob
from memicos_inference.vectors import service
from memicos_inference.vectors.schemas import CossimRequest, CossimResponse, VectorRequest, VectorResponse

router = APIRouter(prefix="/v1/util", tags=["util"])


@router.post("/sae-vector", response_model=VectorResponse, summary="The vector of a feature")
async def util_sae_vector(body: VectorRequest, request: Request) -> Response:
    return await json_response(request, SourceJob(partial(service.feature_vector, body=body)))


@router.post(
    "/sae-topk-by-decoder-cossim",
    response_model=CossimResponse,
    summary="The features whose decoder rows are nearest to a feature's or a vector",
)
async def util_sae_topk_by_decoder_cossim(body: CossimRequest, request: Request) -> Response:
    return await json_response(request, SourceJob(partial(service.similar_features, body=body)))
