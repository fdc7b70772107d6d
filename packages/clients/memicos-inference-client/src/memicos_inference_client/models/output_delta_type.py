from typing import Literal

OutputDeltaType = Literal["DEFAULT", "STEERED"]

OUTPUT_DELTA_TYPE_VALUES: set[OutputDeltaType] = {
    "DEFAULT",
    "STEERED",
}


def check_output_delta_type(value: str) -> OutputDeltaType:
    if value in OUTPUT_DELTA_TYPE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {OUTPUT_DELTA_TYPE_VALUES!r}")
