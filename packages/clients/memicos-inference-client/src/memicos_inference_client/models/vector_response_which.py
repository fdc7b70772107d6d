from typing import Literal

VectorResponseWhich = Literal["decoder", "encoder"]

VECTOR_RESPONSE_WHICH_VALUES: set[VectorResponseWhich] = {
    "decoder",
    "encoder",
}


def check_vector_response_which(value: str) -> VectorResponseWhich:
    if value in VECTOR_RESPONSE_WHICH_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {VECTOR_RESPONSE_WHICH_VALUES!r}")
