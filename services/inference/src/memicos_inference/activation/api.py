"""Routes of activations on a prompt."""

from functools import partial

from fastapi import APIRouter, Request, Response

from memicos_inference.activation import service
from memicos_inference.activation.schemas import (
    AllRequest,
    AllResponse,
    SingleRequest,
    SingleResponse,
    TopkRequest,
    TopkResponse,
)
from memicos_inference.answers import answer

router = APIRouter(prefix="/v1/activation", tags=["activation"])


@router.post("/single", response_model=SingleResponse, summary="Values of one feature or vector")
async def activation_single(body: SingleRequest, request: Request) -> Response:
    return await answer(request, partial(service.single, body=body))


@router.post("/all", response_model=AllResponse, summary="The strongest features of several sources")
async def activation_all(body: AllRequest, request: Request) -> Response:
    return await answer(request, partial(service.strongest, body=body))


@router.post("/topk-by-token", response_model=TopkResponse, summary="The strongest features at each token")
async def activation_topk_by_token(body: TopkRequest, request: Request) -> Response:
    return await answer(request, partial(service.topk_by_token, body=body))
