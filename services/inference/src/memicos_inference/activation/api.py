"""Routes of activations on prompts."""

from functools import partial

from fastapi import APIRouter, Request, Response

from memicos_inference.activation import service
from memicos_inference.activation.schemas import (
    AllBatchRequest,
    AllBatchResponse,
    AllRequest,
    AllResponse,
    SingleBatchRequest,
    SingleBatchResponse,
    SingleRequest,
    SingleResponse,
    SourceRequest,
    SourceResponse,
    TopkBatchRequest,
    TopkBatchResponse,
    TopkRequest,
    TopkResponse,
)
from memicos_inference.http.responses import json_response
from memicos_inference.scheduler.jobs import CaptureJob

router = APIRouter(prefix="/v1/activation", tags=["activation"])


@router.post("/single", response_model=SingleResponse, summary="Values of one feature or vector")
async def activation_single(body: SingleRequest, request: Request) -> Response:
    return await json_response(request, CaptureJob(partial(service.single, body=body)))


@router.post(
    "/single-batch", response_model=SingleBatchResponse, summary="Values of one feature or vector on several prompts"
)
async def activation_single_batch(body: SingleBatchRequest, request: Request) -> Response:
    return await json_response(request, CaptureJob(partial(service.single_batch, body=body)))


@router.post("/all", response_model=AllResponse, summary="The strongest features of several sources")
async def activation_all(body: AllRequest, request: Request) -> Response:
    return await json_response(request, CaptureJob(partial(service.top_features, body=body)))


@router.post(
    "/all-batch", response_model=AllBatchResponse, summary="The strongest features of several sources on each prompt"
)
async def activation_all_batch(body: AllBatchRequest, request: Request) -> Response:
    return await json_response(request, CaptureJob(partial(service.top_features_batch, body=body)))


@router.post("/topk-by-token", response_model=TopkResponse, summary="The strongest features at each token")
async def activation_topk_by_token(body: TopkRequest, request: Request) -> Response:
    return await json_response(request, CaptureJob(partial(service.top_features_by_token, body=body)))


@router.post(
    "/topk-by-token-batch",
    response_model=TopkBatchResponse,
    summary="The strongest features at each token of several prompts",
)
async def activation_topk_by_token_batch(body: TopkBatchRequest, request: Request) -> Response:
    return await json_response(request, CaptureJob(partial(service.top_features_by_token_batch, body=body)))


@router.post("/source", response_model=SourceResponse, summary="Every feature of a source that fires, sparse")
async def activation_source(body: SourceRequest, request: Request) -> Response:
    return await json_response(request, CaptureJob(partial(service.sparse_activations, body=body)))
