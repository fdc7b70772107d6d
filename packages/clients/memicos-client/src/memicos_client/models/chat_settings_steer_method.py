from typing import Literal

ChatSettingsSteerMethod = Literal["ORTHOGONAL_DECOMP", "SIMPLE_ADDITIVE"]

CHAT_SETTINGS_STEER_METHOD_VALUES: set[ChatSettingsSteerMethod] = {
    "ORTHOGONAL_DECOMP",
    "SIMPLE_ADDITIVE",
}


def check_chat_settings_steer_method(value: str) -> ChatSettingsSteerMethod:
    if value in CHAT_SETTINGS_STEER_METHOD_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {CHAT_SETTINGS_STEER_METHOD_VALUES!r}")
