"""JSON API of uploads of datasets: begin, look up, send parts, complete, delete."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Request

from memicos_webapp.accounts.viewer import ViewerDep
from memicos_webapp.dataset_uploads.schemas import (
    UPLOAD_ID,
    CompletedUpload,
    DeletedUpload,
    NewUploadRequest,
    ReceivedPart,
    UploadBody,
    UploadRequest,
)
from memicos_webapp.dataset_uploads.service import Uploads
from memicos_webapp.errors import ErrorBody
from memicos_webapp.security.authorisation import DATASETS_REFUSED, DatasetsAccess

router = APIRouter(prefix="/dataset-upload", tags=["upload"])

REFUSED: dict[int | str, dict[str, Any]] = {403: {"model": ErrorBody, "description": DATASETS_REFUSED}}
UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": ErrorBody, "description": "The account has no such upload"}}
TOO_LARGE: dict[int | str, dict[str, Any]] = {413: {"model": ErrorBody, "description": "The body is too large"}}
INVALID: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "The body is not JSON, or a field has a value that is not allowed"}
}
FULL: dict[int | str, dict[str, Any]] = {507: {"model": ErrorBody, "description": "The server's disk is full"}}

UploadIdPath = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description=UPLOAD_ID, examples=["0" * 32])]
Number = Annotated[int, Path(ge=0, le=2**31 - 1, examples=[0])]


async def _uploads(request: Request) -> Uploads:
    return request.app.state.uploads


UploadsDep = Annotated[Uploads, Depends(_uploads)]


@router.post(
    "/new",
    summary="Begin or continue an upload",
    responses=REFUSED
    | INVALID
    | FULL
    | {
        409: {"model": ErrorBody, "description": "The account has as many open uploads as it may have"},
        413: {"model": ErrorBody, "description": "The body is too large, or the dataset has too many files or bytes"},
    },
)
async def begin_dataset_upload(
    _: DatasetsAccess, viewer: ViewerDep, uploads: UploadsDep, body: NewUploadRequest
) -> UploadBody:
    """Announce the files of a dataset. The same files again: the same upload, with the parts that were received.

    Then send the parts that are missing, and complete the upload. `memicos upload` does all of it.
    """
    return UploadBody.of(await uploads.begin(viewer, body))


@router.post("/get", summary="Get an upload", responses=REFUSED | INVALID | UNKNOWN | TOO_LARGE)
async def get_dataset_upload(
    _: DatasetsAccess, viewer: ViewerDep, uploads: UploadsDep, body: UploadRequest
) -> UploadBody:
    """An upload: which parts were received, and the progress of its import."""
    return UploadBody.of(await uploads.get(viewer, body.uploadId))


@router.put(
    "/part/{uploadId}/{file}/{part}",
    summary="Send a part",
    responses=REFUSED
    | UNKNOWN
    | FULL
    | {
        400: {"model": ErrorBody, "description": "The part has another size, or another sha256 than the header says"},
        409: {"model": ErrorBody, "description": "The upload is complete"},
        413: {"model": ErrorBody, "description": "More bytes than the part has"},
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def put_dataset_upload_part(
    request: Request,
    _: DatasetsAccess,
    viewer: ViewerDep,
    uploads: UploadsDep,
    uploadId: UploadIdPath,
    file: Annotated[Number, Path(description="place of the file in the upload's list, from 0")],
    part: Annotated[Number, Path(description="number of the part, from 0")],
    sha256: Annotated[
        str,
        Header(
            alias="X-Part-SHA256",
            examples=["0" * 64],
            pattern=r"^[0-9a-f]{64}$",
            description="SHA-256 of the part, in hexadecimal digits",
        ),
    ],
) -> ReceivedPart:
    """Send `partBytes` of a file, or of its last part what is left. Parts may be sent in any order and side by side."""
    await uploads.receive(viewer, uploadId, file, part, sha256, request.stream())
    return ReceivedPart(file=file, part=part)


@router.post(
    "/complete",
    summary="Complete an upload",
    responses=REFUSED
    | INVALID
    | UNKNOWN
    | TOO_LARGE
    | FULL
    | {
        409: {
            "model": ErrorBody,
            "description": "Parts are missing, a file has another sha256 than announced, or a request completes it",
        }
    },
)
async def complete_dataset_upload(
    _: DatasetsAccess, viewer: ViewerDep, uploads: UploadsDep, body: UploadRequest
) -> CompletedUpload:
    """Check the sha256 of every file and queue the import of the dataset. Again: the same job."""
    return CompletedUpload(jobId=await uploads.complete(viewer, body.uploadId))


@router.post(
    "/delete",
    summary="Delete an upload",
    responses=REFUSED
    | INVALID
    | UNKNOWN
    | TOO_LARGE
    | {409: {"model": ErrorBody, "description": "Its import is queued or runs"}},
)
async def delete_dataset_upload(
    _: DatasetsAccess, viewer: ViewerDep, uploads: UploadsDep, body: UploadRequest
) -> DeletedUpload:
    """Delete an upload and what was received. What was imported stays."""
    await uploads.delete(viewer, body.uploadId)
    return DeletedUpload(message="Success")
