from typing import Literal

ScoreOutputRequestKind = Literal["TEXTS", "TOKENS"]

SCORE_OUTPUT_REQUEST_KIND_VALUES: set[ScoreOutputRequestKind] = {
    "TEXTS",
    "TOKENS",
}


def check_score_output_request_kind(value: str) -> ScoreOutputRequestKind:
    if value in SCORE_OUTPUT_REQUEST_KIND_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {SCORE_OUTPUT_REQUEST_KIND_VALUES!r}")
