from typing import Literal

SteerRequestSteerMethod = Literal["ORTHOGONAL_DECOMP", "SIMPLE_ADDITIVE"]

STEER_REQUEST_STEER_METHOD_VALUES: set[SteerRequestSteerMethod] = {
    "ORTHOGONAL_DECOMP",
    "SIMPLE_ADDITIVE",
}


def check_steer_request_steer_method(value: str) -> SteerRequestSteerMethod:
    if value in STEER_REQUEST_STEER_METHOD_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {STEER_REQUEST_STEER_METHOD_VALUES!r}")
