from typing import Literal

ScoreExplanationRequestMethod = Literal[
    "eleuther_embedding", "eleuther_fuzz", "eleuther_recall", "recall_alt", "simulation"
]

SCORE_EXPLANATION_REQUEST_METHOD_VALUES: set[ScoreExplanationRequestMethod] = {
    "eleuther_embedding",
    "eleuther_fuzz",
    "eleuther_recall",
    "recall_alt",
    "simulation",
}


def check_score_explanation_request_method(value: str) -> ScoreExplanationRequestMethod:
    if value in SCORE_EXPLANATION_REQUEST_METHOD_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {SCORE_EXPLANATION_REQUEST_METHOD_VALUES!r}")
