"""The route of tokenising."""

from functools import partial

from fastapi import APIRouter, Request, Response

from memicos_inference.http.responses import json_response
from memicos_inference.scheduler.jobs import DirectJob
from memicos_inference.tokenization import service
from memicos_inference.tokenization.schemas import TokenizeRequest, TokenizeResponse

router = APIRouter(prefix="/v1", tags=["tokenize"])


@router.post("/tokenize", response_model=TokenizeResponse, summary="Cut a text into the model's tokens")
async def tokenize(body: TokenizeRequest, request: Request) -> Response:
    return await json_response(request, DirectJob(partial(service.tokenize, body=body)))
