"""Uploads a dataset: announces its files, sends the parts that the server lacks, completes, and follows the import.

Nothing is kept on this side: the server knows the upload by its files, so that the same command goes on after any
interruption.
"""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from memicos_dataset.errors import DatasetError
from memicos_dataset.folder import Folder
from memicos_dataset.upload.errors import RefusedError
from memicos_dataset.upload.files import LocalFile, dataset_files, dataset_name
from memicos_dataset.upload.server import COMPLETION_SECONDS, Server

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
    """`request`: fields of the request that begins the upload, besides its name and files."""

    parallel: int = 4
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
    files = await asyncio.to_thread(dataset_files, folder)
    announced = {
        **options.request,
        "name": dataset_name(folder),
        "files": [{"path": file.path, "bytes": file.bytes, "sha256": file.sha256} for file in files],
    }
    refusal: RefusedError | None = None
    for _ in range(COMPLETIONS):
        state = await server.post("/api/dataset-upload/new", announced)
        if state["job"]:
            return state["uploadId"], state["job"]["id"]
        try:
            await _send_missing(folder, files, server, state, options.parallel, report)
            answer = await _complete(server, state["uploadId"])
            return state["uploadId"], answer["jobId"]
        except RefusedError as error:
            # parts that are missing, or an upload that was completed or deleted meanwhile: the server is asked again
            if error.status not in (CONFLICT, UNKNOWN_UPLOAD):
                raise
            refusal = error
    assert refusal is not None
    raise refusal


async def _complete(server: Server, upload_id: str) -> dict[str, Any]:
    while True:
        try:
            request = {"uploadId": upload_id}
            return await server.post("/api/dataset-upload/complete", request, COMPLETION_SECONDS)
        except RefusedError as error:
            if error.status != CONFLICT or "Another request" not in str(error):
                raise
        await asyncio.sleep(ASK_SECONDS)


async def _send_missing(
    folder: Folder,
    files: list[LocalFile],
    server: Server,
    state: dict[str, Any],
    parallel: int,
    report: Callable[[Progress], object],
) -> None:
    part_bytes: int = state["partBytes"]
    progress = Progress(sum(file.bytes for file in files), report)
    missing: dict[int, list[int]] = {}
    for number, (file, there) in enumerate(zip(files, state["files"], strict=True)):
        received = set(there["received"])
        for part in range(there["parts"]):
            if part in received:
                progress.sent += min(part_bytes, file.bytes - part * part_bytes)
            else:
                missing.setdefault(number, []).append(part)
    progress.report(progress)
    slots = asyncio.Semaphore(parallel)

    async def send(number: int, part: int, content: bytes) -> None:
        try:
            digest = hashlib.sha256(content).hexdigest()
            path = f"/api/dataset-upload/part/{state['uploadId']}/{number}/{part}"
            await _put(server, path, content, digest)
            progress.add(len(content))
        finally:
            slots.release()

    try:
        async with asyncio.TaskGroup() as tasks:
            for number, parts in missing.items():
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


async def follow(server: Server, request: dict[str, Any], report: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Ask for the state of an import until it has ended, and return it. `request` names the upload.

    Raises:
        RefusedError: the server refuses it.
        UploadError: the server does not answer.
    """
    last: dict[str, Any] = {}
    while True:
        try:
            state = await server.post("/api/dataset-upload/get", request)
        except RefusedError as error:
            # it was done, and the clean-up deleted the upload
            if error.status == UNKNOWN_UPLOAD and last:
                return {**last, "state": "done"}
            raise
        last = state["job"]
        report(last)
        if last["state"] in ENDED:
            return last
        await asyncio.sleep(ASK_SECONDS)
