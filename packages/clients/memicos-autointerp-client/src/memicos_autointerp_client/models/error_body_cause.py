from typing import Literal

ErrorBodyCause = Literal[
    "embedder_failed",
    "empty",
    "filtered",
    "forbidden",
    "internal",
    "invalid_request",
    "malformed",
    "no_key",
    "not_found",
    "payment_required",
    "provider_failed",
    "rate_limited",
    "rejected",
    "timeout",
    "too_large",
    "truncated",
    "unauthorized",
    "unknown_model",
    "unreachable",
    "unreadable",
    "wrong_secret",
]

ERROR_BODY_CAUSE_VALUES: set[ErrorBodyCause] = {
    "embedder_failed",
    "empty",
    "filtered",
    "forbidden",
    "internal",
    "invalid_request",
    "malformed",
    "no_key",
    "not_found",
    "payment_required",
    "provider_failed",
    "rate_limited",
    "rejected",
    "timeout",
    "too_large",
    "truncated",
    "unauthorized",
    "unknown_model",
    "unreachable",
    "unreadable",
    "wrong_secret",
}


def check_error_body_cause(value: str) -> ErrorBodyCause:
    if value in ERROR_BODY_CAUSE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {ERROR_BODY_CAUSE_VALUES!r}")
