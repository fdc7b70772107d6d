"""Bodies of `/api/dataset-upload`."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from memicos_webapp.dataset_uploads.rows import JobRow, UploadDetail
from memicos_webapp.datasets.plan import MissingSources
from memicos_webapp.settings import at_most

UPLOAD_ID = "id of the upload"
UploadId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", description=UPLOAD_ID)]
# file systems take names of up to 255 bytes
_SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9._@+=,-]{0,254}"
PATH_CHARACTERS = 500


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class UploadFile(_Body):
    """A file of a dataset."""

    path: str = Field(
        max_length=PATH_CHARACTERS,
        pattern=rf"^{_SEGMENT}(/{_SEGMENT})*$",
        description="path in the dataset's folder: names of letters, digits and `._@+=,-` that begin with a letter, a "
        "digit or `_`, with `/` between them",
    )
    bytes: int = Field(ge=0, description="its size")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="its SHA-256, in hexadecimal digits")


class UploadMetadata(_Body):
    """What the public layout may not say; null: the files say it."""

    layers: int | None = Field(None, ge=1, description="layers of the model")
    dModel: int | None = Field(None, ge=1, description="width of the model")
    vocabularySize: int | None = Field(None, ge=1, description="entries of the model's vocabulary")
    countedTokens: int | None = Field(None, ge=1, description="tokens that densities are shares of")
    license: str | None = Field(None, max_length=1000, description="licence of the texts")
    corpusUrl: str | None = Field(
        None, max_length=2000, pattern=r"^https?://[^\s/?#]+[^\s]*$", description="page where the texts are published"
    )


class NewUploadRequest(_Body):
    """The files of a dataset in any format that `memicos import` reads."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"name": "out/dataset", "files": [{"path": "manifest.json", "bytes": 4, "sha256": "0" * 64}]},
            ]
        },
    )

    name: str = Field(
        max_length=PATH_CHARACTERS,
        pattern=rf"^{_SEGMENT}(/{_SEGMENT})?$",
        description="name of the dataset's folder, or its parent's and its own: those of a model and a source in the "
        "public layout",
    )
    files: list[UploadFile] = Field(min_length=1, description=f"its files, {at_most('upload_files')}")
    missing: MissingSources = Field(
        MissingSources.REFUSE,
        description="what happens to sources of the set that are shown and that the dataset lacks",
    )
    moveSources: bool = Field(False, description="move sources into this set that are shown in another set")
    metadata: UploadMetadata | None = Field(None, description="what the public layout may not say")


class UploadRequest(_Body):
    """Names an upload."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"uploadId": "0" * 32}]})

    uploadId: UploadId


class UploadFileState(BaseModel):
    """A file of an upload, and what of it was received."""

    path: str = Field(description="path in the dataset's folder")
    bytes: int = Field(description="its size")
    parts: int = Field(description="number of its parts: each has `partBytes`, the last one what is left")
    received: list[int] = Field(
        description="numbers of the parts that were received, from 0; empty for a complete upload"
    )


class UploadJob(BaseModel):
    """The import that a complete upload became."""

    id: int = Field(description="number of the job, as `memicos jobs list` shows it")
    state: Literal["queued", "running", "done", "failed", "cancelled"] = Field(description="its state")
    error: str | None = Field(description="why it failed")
    files: int = Field(description="files that it stores")
    filesDone: int = Field(description="files that are stored")
    rows: int = Field(description="rows of these files")
    rowsDone: int = Field(description="rows that are stored")
    rejects: int = Field(description="rows that were left out, as no page could show them")

    @classmethod
    def of(cls, job: JobRow) -> "UploadJob":
        return cls(
            id=job.id,
            state=job.state,  # pyright: ignore[reportArgumentType] (a value of JobState)
            error=job.error,
            files=job.files,
            filesDone=job.files_done,
            rows=job.rows,
            rowsDone=job.rows_done,
            rejects=job.rejects,
        )


class UploadBody(BaseModel):
    """An upload and its state."""

    uploadId: str = Field(description=UPLOAD_ID)
    name: str = Field(description="name of the dataset's folder")
    state: Literal["open", "complete"] = Field(description="open: parts can be sent; complete: `job` imports it")
    bytes: int = Field(description="size of all files")
    partBytes: int = Field(description="size of a part")
    files: list[UploadFileState] = Field(description="its files; parts are named by the file's place in this list")
    job: UploadJob | None = Field(description="the import of a complete upload")

    @classmethod
    def of(cls, detail: UploadDetail) -> "UploadBody":
        upload = detail.upload
        return cls(
            uploadId=upload.id,
            name=upload.name,
            state="open" if upload.job_id is None else "complete",
            bytes=upload.bytes,
            partBytes=upload.part_bytes,
            files=[
                UploadFileState(
                    path=file.path,
                    bytes=file.bytes,
                    parts=file.parts(upload.part_bytes),
                    received=detail.received.get(file.number, []),
                )
                for file in detail.files
            ],
            job=UploadJob.of(detail.job) if detail.job else None,
        )


class ReceivedPart(BaseModel):
    """A part that is stored."""

    file: int = Field(description="place of the file in the upload's list, from 0")
    part: int = Field(description="number of the part, from 0")


class CompletedUpload(BaseModel):
    """The import that an upload became."""

    jobId: int = Field(description="number of the job")


class DeletedUpload(BaseModel):
    """The result of a deletion."""

    message: str = Field(description="Success")
