from typing import Literal

CompletionRequestSteerMethod = Literal["ORTHOGONAL_DECOMP", "PROJECTION_CAP", "SIMPLE_ADDITIVE"]

COMPLETION_REQUEST_STEER_METHOD_VALUES: set[CompletionRequestSteerMethod] = {
    "ORTHOGONAL_DECOMP",
    "PROJECTION_CAP",
    "SIMPLE_ADDITIVE",
}


def check_completion_request_steer_method(value: str) -> CompletionRequestSteerMethod:
    if value in COMPLETION_REQUEST_STEER_METHOD_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {COMPLETION_REQUEST_STEER_METHOD_VALUES!r}")
