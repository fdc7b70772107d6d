from typing import Literal

CompletionOutputFinishedType0 = Literal["eos", "length"]

COMPLETION_OUTPUT_FINISHED_TYPE_0_VALUES: set[CompletionOutputFinishedType0] = {
    "eos",
    "length",
}


def check_completion_output_finished_type_0(value: str) -> CompletionOutputFinishedType0:
    if value in COMPLETION_OUTPUT_FINISHED_TYPE_0_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {COMPLETION_OUTPUT_FINISHED_TYPE_0_VALUES!r}")
