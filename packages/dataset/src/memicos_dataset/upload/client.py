"""Uploads a dataset: announces its files, sends the parts that the server lacks, completes, and follows the import.

Nothing is kept on this side: the server knows the upload by its files, so that the same command goes on after any
interruption.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder
from memicos_dataset.upload.answers import UploadState, read_job, read_state
from memicos_dataset.upload.errors import RefusedError
from memicos_dataset.upload.files import LocalFile, dataset_files, dataset_name
from memicos_dataset.upload.server import COMPLETION_SECONDS, Server

NEW, COMPLETE, GET = (f"/api/dataset-upload/{name}" for name in ("new", "complete", "get"))
COMPLETIONS = 3
"""How often parts that the server lacks or has discarded are sent again."""
ASK_SECONDS = 1.0
"""How often the server is asked about an import, or for the completion that another client requested."""
PART_ATTEMPTS = 3
BAD_PART, UNKNOWN_UPLOAD, CONFLICT = 400, 404, 409
"""Statuses: a part arrived with another hash; the account has no such upload; parts are missing, or it is complete."""
ENDED = {"done", "failed", "cancelled"}


@dataclass(frozen=True)
class UploadOptions:
    """`request`: fields of the request that begins the upload, besides its name and files. `follow_links`: send files
    that links in the dataset's folder lead to outside of it."""

    parallel: int = 4
    follow_links: bool = False
    request: dict[str, Any] = field(default_factory=dict)


@dataclass
class Progress:
    """Bytes of the dataset that the server has; `report` is called when they change."""

    total: int
    report: Callable[["Progress"], object]
    sent: int = 0

    def add(self, size: int) -> None:
        self.sent += size
        self.report(self)


async def upload(
    folder: Folder, server: Server, options: UploadOptions, report: Callable[[Progress], object]
) -> tuple[str, int]:
    """Upload the dataset in `folder`; returns the id of the upload and the number of the job that imports it.

    Raises:
        DatasetError: it cannot be read.
        RefusedError: the server refuses it.
        UploadError: the server does not answer, or the files change while they are sent.
    """
    files = await asyncio.to_thread(dataset_files, folder, options.follow_links)
    announced = {
        **options.request,
        "name": dataset_name(folder),
        "files": [{"path": file.path, "bytes": file.bytes, "sha256": file.sha256} for file in files],
    }
    refusal: RefusedError | None = None
    for _ in range(COMPLETIONS):
        answer = await server.post(NEW, announced)
        try:
            state = read_state(answer, files)
        except ValueError as error:
            raise server.unknown(NEW, str(error)) from error
        if state.job_id is not None:
            return state.upload_id, state.job_id
        try:
            await _send_missing(folder, files, server, state, options.parallel, report)
            return state.upload_id, await _complete(server, state.upload_id)
        except RefusedError as error:
            # parts that are missing, or an upload that was completed or deleted meanwhile: the server is asked again
            if error.status not in (CONFLICT, UNKNOWN_UPLOAD):
                raise
            refusal = error
    assert refusal is not None
    raise refusal


async def _complete(server: Server, upload_id: str) -> int:
    """The number of the job."""
    while True:
        try:
            job_id = (await server.post(COMPLETE, {"uploadId": upload_id}, COMPLETION_SECONDS)).get("jobId")
            if type(job_id) is not int:
                raise server.unknown(COMPLETE, "has no import job")
            return job_id
        except RefusedError as error:
            if error.status != CONFLICT or "Another request" not in str(error):
                raise
        await asyncio.sleep(ASK_SECONDS)


async def _send_missing(
    folder: Folder,
    files: list[LocalFile],
    server: Server,
    state: UploadState,
    parallel: int,
    report: Callable[[Progress], object],
) -> None:
    part_bytes = state.part_bytes
    progress = Progress(sum(file.bytes for file in files), report, state.received_bytes)
    progress.report(progress)
    slots = asyncio.Semaphore(parallel)

    async def send(number: int, part: int, content: bytes) -> None:
        try:
            digest = hashlib.sha256(content).hexdigest()
            path = f"/api/dataset-upload/part/{state.upload_id}/{number}/{part}"
            await _put(server, path, content, digest)
            progress.add(len(content))
        finally:
            slots.release()

    try:
        async with asyncio.TaskGroup() as tasks:
            for number, parts in state.missing.items():
                # one file is open at a time; a remote one is copied
                with folder.open_seekable(files[number].path) as file:
                    for part in parts:
                        await slots.acquire()
                        await asyncio.to_thread(file.seek, part * part_bytes)
                        content = await asyncio.to_thread(file.read, part_bytes)
                        expected = min(part_bytes, files[number].bytes - part * part_bytes)
                        if len(content) != expected:
                            raise DatasetError(folder.locate(files[number].path), "became shorter while it was sent")
                        tasks.create_task(send(number, part, content))
    except BaseExceptionGroup as group:
        raise _first(group) from None


async def _put(server: Server, path: str, content: bytes, digest: str) -> None:
    """Send a part; one that was changed on its way is sent again."""
    for attempt in range(1, PART_ATTEMPTS + 1):
        try:
            await server.put(path, content, {"X-Part-SHA256": digest})
            return
        except RefusedError as error:
            if error.status != BAD_PART or attempt == PART_ATTEMPTS:
                raise


def _first(group: BaseExceptionGroup) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


async def follow(
    server: Server, request: dict[str, Any], report: Callable[[Mapping[str, Any]], object]
) -> Mapping[str, Any]:
    """Ask for the state of an import until it has ended, and return it. `request` names the upload.

    Raises:
        RefusedError: the server refuses it.
        UploadError: the server does not answer.
    """
    last: Mapping[str, Any] = {}
    while True:
        try:
            last = read_job((await server.post(GET, request)).get("job"))
        except ValueError as error:
            raise server.unknown(GET, str(error)) from error
        except RefusedError as error:
            # it was done, and the clean-up deleted the upload
            if error.status == UNKNOWN_UPLOAD and last:
                return {**last, "state": "done"}
            raise
        report(last)
        if last["state"] in ENDED:
            return last
        await asyncio.sleep(ASK_SECONDS)
