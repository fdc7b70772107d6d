from typing import Literal

InferenceHostBodyState = Literal["disabled", "down", "loading", "ready", "refused", "unknown"]

INFERENCE_HOST_BODY_STATE_VALUES: set[InferenceHostBodyState] = {
    "disabled",
    "down",
    "loading",
    "ready",
    "refused",
    "unknown",
}


def check_inference_host_body_state(value: str) -> InferenceHostBodyState:
    if value in INFERENCE_HOST_BODY_STATE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {INFERENCE_HOST_BODY_STATE_VALUES!r}")
