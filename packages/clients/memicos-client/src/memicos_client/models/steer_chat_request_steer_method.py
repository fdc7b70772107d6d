from typing import Literal

SteerChatRequestSteerMethod = Literal["ORTHOGONAL_DECOMP", "SIMPLE_ADDITIVE"]

STEER_CHAT_REQUEST_STEER_METHOD_VALUES: set[SteerChatRequestSteerMethod] = {
    "ORTHOGONAL_DECOMP",
    "SIMPLE_ADDITIVE",
}


def check_steer_chat_request_steer_method(value: str) -> SteerChatRequestSteerMethod:
    if value in STEER_CHAT_REQUEST_STEER_METHOD_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {STEER_CHAT_REQUEST_STEER_METHOD_VALUES!r}")
