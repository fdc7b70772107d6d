"""The route of activations as they are."""

from functools import partial

from fastapi import APIRouter, Request, Response

from memicos_inference.answers import answer
from memicos_inference.raw import service
from memicos_inference.raw.schemas import RawRequest, RawResponse

router = APIRouter(prefix="/v1/activation", tags=["activation"])


@router.post("/raw", response_model=RawResponse, summary="Activations as they are, at layers or hook points")
async def activation_raw(body: RawRequest, request: Request) -> Response:
    return await answer(request, partial(service.raw, body=body))
