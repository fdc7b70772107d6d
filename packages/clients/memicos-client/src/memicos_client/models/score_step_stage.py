from typing import Literal

ScoreStepStage = Literal["model", "texts"]

SCORE_STEP_STAGE_VALUES: set[ScoreStepStage] = {
    "model",
    "texts",
}


def check_score_step_stage(value: str) -> ScoreStepStage:
    if value in SCORE_STEP_STAGE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {SCORE_STEP_STAGE_VALUES!r}")
