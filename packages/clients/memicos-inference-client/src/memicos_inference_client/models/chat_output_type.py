from typing import Literal

ChatOutputType = Literal["DEFAULT", "STEERED"]

CHAT_OUTPUT_TYPE_VALUES: set[ChatOutputType] = {
    "DEFAULT",
    "STEERED",
}


def check_chat_output_type(value: str) -> ChatOutputType:
    if value in CHAT_OUTPUT_TYPE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {CHAT_OUTPUT_TYPE_VALUES!r}")
