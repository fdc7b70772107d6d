from typing import Literal

UploadBodyState = Literal["complete", "open"]

UPLOAD_BODY_STATE_VALUES: set[UploadBodyState] = {
    "complete",
    "open",
}


def check_upload_body_state(value: str) -> UploadBodyState:
    if value in UPLOAD_BODY_STATE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {UPLOAD_BODY_STATE_VALUES!r}")
