"""The route of conversations as the model reads them."""

from functools import partial

from fastapi import APIRouter, Request, Response

from memicos_inference.chat_template import service
from memicos_inference.chat_template.schemas import TemplateRequest, TemplateResponse
from memicos_inference.http.responses import json_response
from memicos_inference.scheduler.jobs import DirectJob

router = APIRouter(prefix="/v1", tags=["chat"])


@router.post(
    "/apply-chat-template",
    response_model=TemplateResponse,
    summary="Write a conversation as the model reads it, and say what each token of it is",
)
async def apply_chat_template(body: TemplateRequest, request: Request) -> Response:
    return await json_response(request, DirectJob(partial(service.apply, body=body)))
