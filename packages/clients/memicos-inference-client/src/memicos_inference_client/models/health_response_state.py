from typing import Literal

HealthResponseState = Literal["failed", "loading", "ready"]

HEALTH_RESPONSE_STATE_VALUES: set[HealthResponseState] = {
    "failed",
    "loading",
    "ready",
}


def check_health_response_state(value: str) -> HealthResponseState:
    if value in HEALTH_RESPONSE_STATE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {HEALTH_RESPONSE_STATE_VALUES!r}")
