"""Route for rendering conversations with the chat template."""

from fastapi import APIRouter, Request, Response

from memicos_inference.chat_template import service
from memicos_inference.chat_template.schemas import TemplateRequest, TemplateResponse
from memicos_inference.http.responses import json_response

router = APIRouter(prefix="/v1", tags=["chat"])


@router.post(
    "/apply-chat-template",
    response_model=TemplateResponse,
    summary="Render a conversation and label its tokens",
)
async def apply_chat_template(body: TemplateRequest, request: Request) -> Response:
    """Render a conversation with the model's chat template; return its tokens, and the message and section of each.

    The tokens are those that /v1/steer/completion-chat starts from. A model without a template uses ChatML.

    Errors: 400 for an unknown model, messages that the template rejects, or more than `token_limit` tokens.
    """
    return await json_response(request, service.template_job(body))
