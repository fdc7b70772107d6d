from typing import Literal

UploadJobState = Literal["cancelled", "done", "failed", "queued", "running"]

UPLOAD_JOB_STATE_VALUES: set[UploadJobState] = {
    "cancelled",
    "done",
    "failed",
    "queued",
    "running",
}


def check_upload_job_state(value: str) -> UploadJobState:
    if value in UPLOAD_JOB_STATE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {UPLOAD_JOB_STATE_VALUES!r}")
