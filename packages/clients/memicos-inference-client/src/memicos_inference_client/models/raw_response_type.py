from typing import Literal

RawResponseType = Literal["all_tokens", "final_output_token"]

RAW_RESPONSE_TYPE_VALUES: set[RawResponseType] = {
    "all_tokens",
    "final_output_token",
}


def check_raw_response_type(value: str) -> RawResponseType:
    if value in RAW_RESPONSE_TYPE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {RAW_RESPONSE_TYPE_VALUES!r}")
