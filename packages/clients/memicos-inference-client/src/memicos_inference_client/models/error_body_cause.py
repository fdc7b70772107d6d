from typing import Literal

ErrorBodyCause = Literal[
    "busy",
    "forbidden",
    "internal",
    "invalid_request",
    "load_failed",
    "loading",
    "not_found",
    "out_of_memory",
    "stopping",
    "too_large",
    "unverified",
    "wrong_secret",
]

ERROR_BODY_CAUSE_VALUES: set[ErrorBodyCause] = {
    "busy",
    "forbidden",
    "internal",
    "invalid_request",
    "load_failed",
    "loading",
    "not_found",
    "out_of_memory",
    "stopping",
    "too_large",
    "unverified",
    "wrong_secret",
}


def check_error_body_cause(value: str) -> ErrorBodyCause:
    if value in ERROR_BODY_CAUSE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {ERROR_BODY_CAUSE_VALUES!r}")
