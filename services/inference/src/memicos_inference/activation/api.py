"""Routes for feature activations on prompts."""

from fastapi import APIRouter, Request, Response

from memicos_inference.activation import service
from memicos_inference.activation.prompts import prompt_job
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

router = APIRouter(prefix="/v1/activation", tags=["activation"])


@router.post("/single", response_model=SingleResponse, summary="Values of one feature or vector")
async def activation_single(body: SingleRequest, request: Request) -> Response:
    """Return the value of one feature, or the projection on one vector, at each token of a prompt.

    Errors: 400 for an unknown model, source or index, a vector of the wrong width, an unknown hook, not exactly one
    of feature and vector, not exactly one of text and messages, messages without a chat template, or a prompt with
    no tokens or more than `token_limit`.
    """
    return await json_response(request, prompt_job(service.single, body))


@router.post(
    "/single-batch", response_model=SingleBatchResponse, summary="Values of one feature or vector on several prompts"
)
async def activation_single_batch(body: SingleBatchRequest, request: Request) -> Response:
    """Return the value of one feature, or the projection on one vector, at each token of several prompts.

    Each prompt gets the result it would get alone, up to rounding.

    Errors: 400 for an unknown model, source or index, a vector of the wrong width, an unknown hook, not exactly one
    of feature and vector, not exactly one of texts and messages, messages without a chat template, a prompt with no
    tokens or more than `token_limit`, no prompts, more than `max_prompts`, or more than `batch_tokens` tokens when
    padded to the longest.
    """
    return await json_response(request, prompt_job(service.single_batch, body))


@router.post("/all", response_model=AllResponse, summary="The strongest features of several sources")
async def activation_all(body: AllRequest, request: Request) -> Response:
    """Return the features of several sources with the largest activations on a prompt.

    Errors: 400 for an unknown model, source set or source, sources that differ in BOS, more sources than
    `max_loaded_saes` or `sae_bytes` allow, a `num_results` above `max_num_results`, a response of more than
    `max_values` values, not exactly one of text and messages, messages without a chat template, or a prompt with no
    tokens or more than `token_limit`.
    """
    return await json_response(request, prompt_job(service.top_features, body))


@router.post(
    "/all-batch", response_model=AllBatchResponse, summary="The strongest features of several sources on each prompt"
)
async def activation_all_batch(body: AllBatchRequest, request: Request) -> Response:
    """Return the features of several sources with the largest activations on each of several prompts.

    Each prompt gets the result it would get alone, up to rounding. `sort_by_token_indexes` applies to each prompt.

    Errors: 400 for an unknown model, source set or source, sources that differ in BOS, more sources than
    `max_loaded_saes` or `sae_bytes` allow, a `num_results` above `max_num_results`, a response of more than
    `max_values` values, not exactly one of texts and messages, messages without a chat template, a prompt with no
    tokens or more than `token_limit`, no prompts, more than `max_prompts`, or more than `batch_tokens` tokens when
    padded to the longest.
    """
    return await json_response(request, prompt_job(service.top_features_batch, body))


@router.post("/topk-by-token", response_model=TopkResponse, summary="The strongest features at each token")
async def activation_topk_by_token(body: TopkRequest, request: Request) -> Response:
    """Return the features of one source with the largest activations at each token of a prompt.

    Errors: 400 for an unknown model or source, a `top_k` above `max_top_k`, not exactly one of text and messages,
    messages without a chat template, or a prompt with no tokens or more than `token_limit`.
    """
    return await json_response(request, prompt_job(service.top_features_by_token, body))


@router.post(
    "/topk-by-token-batch",
    response_model=TopkBatchResponse,
    summary="The strongest features at each token of several prompts",
)
async def activation_topk_by_token_batch(body: TopkBatchRequest, request: Request) -> Response:
    """Return the features of one source with the largest activations at each token of several prompts.

    Each prompt gets the result it would get alone, up to rounding.

    Errors: 400 for an unknown model or source, a `top_k` above `max_top_k`, not exactly one of text and messages,
    messages without a chat template, or a prompt with no tokens or more than `token_limit`, no prompts, more than
    `max_prompts`, or more than `batch_tokens` tokens when padded to the longest.
    """
    return await json_response(request, prompt_job(service.top_features_by_token_batch, body))


@router.post("/source", response_model=SourceResponse, summary="Every active feature of a source, sparse")
async def activation_source(body: SourceRequest, request: Request) -> Response:
    """Return every active feature of one source on several prompts, as sparse lists of token positions and activations.

    Each prompt gets the result it would get alone, up to rounding.

    Errors: 400 for an unknown model or source, more than `max_values` activations, not exactly one of texts and
    messages, messages without a chat template, a prompt with no tokens or more than `token_limit`, no prompts, more
    than `max_prompts`, or more than `batch_tokens` tokens when padded to the longest.
    """
    return await json_response(request, prompt_job(service.sparse_activations, body))
