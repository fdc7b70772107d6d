from typing import Literal

OutputDeltaFinishedType0 = Literal["eos", "length"]

OUTPUT_DELTA_FINISHED_TYPE_0_VALUES: set[OutputDeltaFinishedType0] = {
    "eos",
    "length",
}


def check_output_delta_finished_type_0(value: str) -> OutputDeltaFinishedType0:
    if value in OUTPUT_DELTA_FINISHED_TYPE_0_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {OUTPUT_DELTA_FINISHED_TYPE_0_VALUES!r}")
