from typing import Literal

CompletionOutputType = Literal["DEFAULT", "STEERED"]

COMPLETION_OUTPUT_TYPE_VALUES: set[CompletionOutputType] = {
    "DEFAULT",
    "STEERED",
}


def check_completion_output_type(value: str) -> CompletionOutputType:
    if value in COMPLETION_OUTPUT_TYPE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {COMPLETION_OUTPUT_TYPE_VALUES!r}")
