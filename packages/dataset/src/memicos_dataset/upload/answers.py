"""Checks the types of a server's answers, and reads them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memicos_dataset.upload.files import LocalFile

MAX_PART_BYTES = 1_000_000_000
"""Largest `MEMICOS_UPLOAD_PART_BYTES` that a server can have: parts are read as a whole."""
_UPLOAD_ID = re.compile(r"[0-9A-Za-z]{1,64}")
_COUNTS = ("id", "files", "filesDone", "rows", "rowsDone", "rejects")


@dataclass(frozen=True)
class UploadState:
    """The state of an upload at the server.

    Attributes:
        missing: numbers of the parts that it lacks, by the number of their file.
        received_bytes: size of the parts that it has.
        job_id: of the import, None where the upload is not complete.
    """

    upload_id: str
    part_bytes: int
    missing: Mapping[int, Sequence[int]]
    received_bytes: int
    job_id: int | None


def read_state(answer: Mapping[str, Any], files: Sequence[LocalFile]) -> UploadState:
    """
    Raises:
        ValueError: it is not the state of an upload of these files.
    """
    upload_id, part_bytes = answer.get("uploadId"), answer.get("partBytes")
    states, job = answer.get("files"), answer.get("job")
    if not isinstance(upload_id, str) or not _UPLOAD_ID.fullmatch(upload_id):
        raise ValueError("has no upload id")
    if type(part_bytes) is not int or not 1 <= part_bytes <= MAX_PART_BYTES:
        raise ValueError("has no size of parts")
    if job is not None:
        return UploadState(upload_id, part_bytes, {}, 0, read_job(job)["id"])
    if not isinstance(states, list) or len(states) != len(files):
        raise ValueError("does not list the announced files")
    missing: dict[int, list[int]] = {}
    received_bytes = 0
    for number, (file, state) in enumerate(zip(files, states, strict=True)):
        parts = -(-file.bytes // part_bytes)
        received = state.get("received") if isinstance(state, Mapping) else None
        if not isinstance(received, list) or any(type(part) is not int for part in received):
            raise ValueError("has no lists of parts")
        missing[number] = sorted(set(range(parts)).difference(received))
        lacking = sum(min(part_bytes, file.bytes - part * part_bytes) for part in missing[number])
        received_bytes += file.bytes - lacking
    return UploadState(upload_id, part_bytes, {n: parts for n, parts in missing.items() if parts}, received_bytes, None)


def read_job(job: object) -> Mapping[str, Any]:
    """
    Raises:
        ValueError: it is not the state of an import.
    """
    if (
        not isinstance(job, Mapping)
        or any(type(job.get(name)) is not int for name in _COUNTS)
        or not isinstance(job.get("state"), str)
        or not isinstance(job.get("error"), str | None)
    ):
        raise ValueError("has no import job")
    return job
