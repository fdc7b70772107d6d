from typing import Literal

ScoreFuzzDetectionRequestType = Literal["DETECTION", "FUZZ"]

SCORE_FUZZ_DETECTION_REQUEST_TYPE_VALUES: set[ScoreFuzzDetectionRequestType] = {
    "DETECTION",
    "FUZZ",
}


def check_score_fuzz_detection_request_type(value: str) -> ScoreFuzzDetectionRequestType:
    if value in SCORE_FUZZ_DETECTION_REQUEST_TYPE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {SCORE_FUZZ_DETECTION_REQUEST_TYPE_VALUES!r}")
