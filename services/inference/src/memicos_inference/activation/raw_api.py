"""The route of activations as they are."""

from functools import partial

from fastapi import APIRouter, Request, Response

from memicos_inference.activation import raw_service
from memicos_inference.activation.raw_schemas import RawRequest, RawResponse
from memicos_inference.http.responses import json_response
from memicos_inference.scheduler.jobs import CaptureJob

router = APIRouter(prefix="/v1/activation", tags=["activation"])


@router.post("/raw", response_model=RawResponse, summary="Activations as they are, at layers or hook points")
async def activation_raw(body: RawRequest, request: Request) -> Response:
    return await json_response(request, CaptureJob(partial(raw_service.raw, body=body)))
