from typing import Literal

InferenceHostHealthState = Literal["disabled", "down", "loading", "ready", "refused", "unknown"]

INFERENCE_HOST_HEALTH_STATE_VALUES: set[InferenceHostHealthState] = {
    "disabled",
    "down",
    "loading",
    "ready",
    "refused",
    "unknown",
}


def check_inference_host_health_state(value: str) -> InferenceHostHealthState:
    if value in INFERENCE_HOST_HEALTH_STATE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {INFERENCE_HOST_HEALTH_STATE_VALUES!r}")
