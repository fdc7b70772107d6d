from typing import Literal

EmbedderHealthState = Literal["disabled", "embedding", "failing", "idle"]

EMBEDDER_HEALTH_STATE_VALUES: set[EmbedderHealthState] = {
    "disabled",
    "embedding",
    "failing",
    "idle",
}


def check_embedder_health_state(value: str) -> EmbedderHealthState:
    if value in EMBEDDER_HEALTH_STATE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {EMBEDDER_HEALTH_STATE_VALUES!r}")
