"""Fragments that say how inference is doing; they ask again by themselves until it is ready."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from memicos_webapp.inference.faults import InferenceDown, InferenceLoading
from memicos_webapp.inference.service import InferenceDep
from memicos_webapp.templating import render

router = APIRouter(tags=["inference"])

COMING = (InferenceLoading, InferenceDown)
"""Faults that end by themselves or by a start of the server: a result that is waited for then comes."""


@router.get("/{model}/{source}/inference", response_class=HTMLResponse)
async def source_inference(request: Request, inference: InferenceDep, model: str, source: str) -> HTMLResponse:
    status = await inference.status(model, [source])
    return render(request, "inference/_status.html", status=status, again=request.url.path)


@router.get("/{model}/inference", response_class=HTMLResponse)
async def model_inference(request: Request, inference: InferenceDep, model: str) -> HTMLResponse:
    status = await inference.status(model, [])
    return render(request, "inference/_status.html", status=status, again=request.url.path)


def waiting(
    request: Request, fault: InferenceLoading | InferenceDown, again: str, fields: dict[str, Any] | None = None
) -> HTMLResponse:
    """What stands in a result's place until inference is there; asks `again` (posting `fields`, where given)."""
    state, seconds = ("loading", 2) if isinstance(fault, InferenceLoading) else ("down", 5)
    return render(
        request,
        "inference/_waiting.html",
        state=state,
        seconds=seconds,
        message=fault.message,
        again=again,
        fields=fields,
    )
