from typing import Literal

VectorRequestWhich = Literal["decoder", "encoder"]

VECTOR_REQUEST_WHICH_VALUES: set[VectorRequestWhich] = {
    "decoder",
    "encoder",
}


def check_vector_request_which(value: str) -> VectorRequestWhich:
    if value in VECTOR_REQUEST_WHICH_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {VECTOR_REQUEST_WHICH_VALUES!r}")
