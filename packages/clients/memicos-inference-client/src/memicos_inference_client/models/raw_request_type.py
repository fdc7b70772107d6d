from typing import Literal

RawRequestType = Literal["all_tokens", "final_output_token"]

RAW_REQUEST_TYPE_VALUES: set[RawRequestType] = {
    "all_tokens",
    "final_output_token",
}


def check_raw_request_type(value: str) -> RawRequestType:
    if value in RAW_REQUEST_TYPE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {RAW_REQUEST_TYPE_VALUES!r}")
