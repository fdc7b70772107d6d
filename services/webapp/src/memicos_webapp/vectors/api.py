"""JSON API of vectors."""

from typing import Any

from fastapi import APIRouter, Request
from memicos_dataset.wording import quantity

from memicos_webapp.accounts.viewer import ViewerDep
from memicos_webapp.database.engine import Snapshot, Transaction
from memicos_webapp.errors import ErrorBody
from memicos_webapp.security.authorisation import WRITE_REFUSED, WriteAccess
from memicos_webapp.vectors import service
from memicos_webapp.vectors.schemas import (
    CreatedVectorResponse,
    DeletedVector,
    NewVectorRequest,
    UploadActivationsRequest,
    UploadedActivations,
    VectorList,
    VectorRequest,
    VectorResponse,
    created_body,
    vector_body,
)

router = APIRouter(tags=["vector"])

UNKNOWN: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "The body is not JSON, or a field has a value that is not allowed"},
    404: {"model": ErrorBody, "description": "Unknown model or vector"},
    413: {"model": ErrorBody, "description": "The body is too large"},
}


@router.post(
    "/vector/new",
    summary="Upload a vector",
    response_model=CreatedVectorResponse,
    responses={
        **UNKNOWN,
        403: {"model": ErrorBody, "description": WRITE_REFUSED},
        409: {"model": ErrorBody, "description": "The account has as many vectors as it may have"},
    },
)
async def new_vector(
    request: Request, _: WriteAccess, session: Transaction, viewer: ViewerDep, body: NewVectorRequest
) -> CreatedVectorResponse:
    """Store a direction at a hook point of a model. It has a page, is run on texts and steers like a feature.

    Its value at a token is the dot product with the activation at the hook point; it is not normalised. Steering adds
    strength x vector. Beyond loopback it takes the owner's session or an API key with the scope `write`.
    """
    row = await service.new(session, viewer, request.app.state.settings, body)
    url = f"{request.base_url}{row.path[1:]}"
    return CreatedVectorResponse(message=f"The vector {row.name} is stored.", url=url, vector=created_body(row))


@router.post("/vector/get", summary="Get a vector", response_model=VectorResponse, responses=UNKNOWN)
async def get_vector(session: Snapshot, viewer: ViewerDep, body: VectorRequest) -> VectorResponse:
    """A vector by its address. Private vectors are readable by their owner only."""
    row = await service.get(session, viewer, body.model_id, body.source, body.index)
    return VectorResponse(vector=vector_body(row))


@router.post(
    "/vector/list-owned",
    summary="List your vectors",
    response_model=VectorList,
    responses={403: {"model": ErrorBody, "description": "The request has no account"}},
)
async def list_owned_vectors(session: Snapshot, viewer: ViewerDep) -> VectorList:
    """The vectors of the account that sends the request, the newest first."""
    return VectorList(vectors=[vector_body(row) for row in await service.own(session, viewer)])


@router.post(
    "/vector/delete",
    summary="Delete a vector",
    response_model=DeletedVector,
    responses={
        **UNKNOWN,
        403: {"model": ErrorBody, "description": f"It is another account's. {WRITE_REFUSED}"},
    },
)
async def delete_vector(_: WriteAccess, session: Transaction, viewer: ViewerDep, body: VectorRequest) -> DeletedVector:
    """Delete a vector of your own, with its texts."""
    await service.delete(session, viewer, body.model_id, body.source, body.index)
    return DeletedVector(message="Success")


@router.post(
    "/activation/upload-batch",
    summary="Add texts to a vector",
    response_model=UploadedActivations,
    responses={
        **UNKNOWN,
        403: {"model": ErrorBody, "description": f"The vector is another account's. {WRITE_REFUSED}"},
        409: {"model": ErrorBody, "description": "The vector would have more texts than it may have"},
    },
)
async def upload_activations(
    request: Request, _: WriteAccess, session: Transaction, viewer: ViewerDep, body: UploadActivationsRequest
) -> UploadedActivations:
    """Store texts with a vector's value at each token; its page shows them, those with the largest value first."""
    address = (body.model_id, body.source, body.index)
    await service.add_examples(session, viewer, request.app.state.settings, address, body.activations)
    count = len(body.activations)
    return UploadedActivations(message=f"{quantity(count, 'text')} stored.")
