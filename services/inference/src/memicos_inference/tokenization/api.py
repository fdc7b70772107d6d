"""Route for tokenisation."""

from fastapi import APIRouter, Request, Response

from memicos_inference.http.responses import json_response
from memicos_inference.tokenization import service
from memicos_inference.tokenization.schemas import TokenizeRequest, TokenizeResponse

router = APIRouter(prefix="/v1", tags=["tokenize"])


@router.post("/tokenize", response_model=TokenizeResponse, summary="Tokenise a text")
async def tokenize(body: TokenizeRequest, request: Request) -> Response:
    """Return the token ids and strings of a text.

    Errors: 400 for an unknown model, or a text of more than `token_limit` tokens.
    """
    return await json_response(request, service.tokenize_job(body))
