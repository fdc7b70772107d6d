"""Route for raw activations of the model."""

from fastapi import APIRouter, Request, Response

from memicos_inference.activation import raw_service
from memicos_inference.activation.prompts import prompt_job
from memicos_inference.activation.raw_schemas import RawRequest, RawResponse
from memicos_inference.http.responses import json_response

router = APIRouter(prefix="/v1/activation", tags=["activation"])


@router.post("/raw", response_model=RawResponse, summary="Raw activations at layers or hook points")
async def activation_raw(body: RawRequest, request: Request) -> Response:
    """Return the model's activations at layers or hook points, for the last token or all tokens of several prompts.

    Errors: 400 for an unknown model, layer or hook point, both `layers` and `hooks`, more than `max_hooks` hook
    points, more than `max_values` values, activations that are not finite, not exactly one of texts and messages,
    messages without a chat template, a prompt with no tokens or more than `token_limit`, no prompts, more than
    `max_prompts`, or more than `batch_tokens` tokens when padded to the longest.
    """
    return await json_response(request, prompt_job(raw_service.raw, body))
