from typing import Literal

ChatOutputFinishedType0 = Literal["eos", "length"]

CHAT_OUTPUT_FINISHED_TYPE_0_VALUES: set[ChatOutputFinishedType0] = {
    "eos",
    "length",
}


def check_chat_output_finished_type_0(value: str) -> ChatOutputFinishedType0:
    if value in CHAT_OUTPUT_FINISHED_TYPE_0_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {CHAT_OUTPUT_FINISHED_TYPE_0_VALUES!r}")
