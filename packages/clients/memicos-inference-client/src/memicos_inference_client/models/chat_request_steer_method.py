from typing import Literal

ChatRequestSteerMethod = Literal["ORTHOGONAL_DECOMP", "PROJECTION_CAP", "SIMPLE_ADDITIVE"]

CHAT_REQUEST_STEER_METHOD_VALUES: set[ChatRequestSteerMethod] = {
    "ORTHOGONAL_DECOMP",
    "PROJECTION_CAP",
    "SIMPLE_ADDITIVE",
}


def check_chat_request_steer_method(value: str) -> ChatRequestSteerMethod:
    if value in CHAT_REQUEST_STEER_METHOD_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {CHAT_REQUEST_STEER_METHOD_VALUES!r}")
